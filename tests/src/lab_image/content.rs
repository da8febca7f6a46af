//! What the made-up files hold: photos, logs, databases, mail.

use std::io::Write;

use super::words::Words;
use super::{BLOCK, Random};

const HOSTS: [&str; 5] = ["sys-net", "sys-firewall", "work", "db02", "gateway"];
const DAEMONS: [&str; 7] = [
    "kernel",
    "systemd",
    "sshd",
    "cron",
    "nginx",
    "NetworkManager",
    "postfix/smtpd",
];

/// Makes the content of made-up files.
pub struct Content {
    random: Random,
    words: Words,
    /// Seconds of the logs' clock.
    clock: u64,
}

impl Content {
    /// The contents of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed, "content"),
            words: Words::new(seed),
            clock: 0,
        }
    }

    /// A photo, a film, a download: nothing in it compresses.
    pub fn incompressible(&mut self, most: usize, out: &mut Vec<u8>) {
        let sizes = [
            60_000, 200_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000, 9_000_000, 60_000_000,
        ];
        let length = self.about(&sizes).min(most);
        out.resize(length, 0);
        self.random.fill(out);
    }

    /// A log as daemons write it.
    pub fn log(&mut self, most: usize, out: &mut Vec<u8>) {
        let sizes = [300_000, 1_000_000, 4_000_000, 16_000_000, 24_000_000];
        let length = self.about(&sizes).min(most);
        self.log_lines(length, out);
    }

    /// Appends log lines, `length` bytes of them.
    pub fn log_lines(&mut self, length: usize, out: &mut Vec<u8>) {
        let end = out.len() + length;
        while out.len() < end {
            self.clock += self.random.below(3);
            let t = self.clock;
            let (day, hour, minute, second) =
                (t / 86_400 % 28 + 1, t / 3600 % 24, t / 60 % 60, t % 60);
            let (host, daemon) = (self.random.pick(&HOSTS), self.random.pick(&DAEMONS));
            let (pid, a, b) = (
                self.random.below(32_768),
                self.random.below(60_000),
                self.random.below(60_000),
            );
            let micros = self.random.below(1_000_000);
            // Writing to a vector cannot fail.
            let _ = write!(
                out,
                "2026-02-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}+00:00 {host} {daemon}[{pid}]: "
            );
            let _ = match self.random.below(6) {
                0 => writeln!(out, "Started Session {a} of user user."),
                1 => writeln!(out, "Connection from 10.137.0.{} port {b}", a % 256),
                2 => writeln!(
                    out,
                    "GET /api/v1/items/{a}?page={} HTTP/1.1 200 {b} {}ms",
                    b % 40,
                    a % 900
                ),
                3 => writeln!(out, "worker {a} exited with status {} after {b} s", a % 3),
                4 => writeln!(out, "cache miss key=user:{a}:{b:x} ttl={}", b % 3600),
                _ => writeln!(
                    out,
                    "pam_unix(cron:session): session opened for user root(uid=0) by (uid={a})"
                ),
            };
        }
        out.truncate(end);
    }

    /// A database (pages of records) or a small file (mail, cached JSON).
    pub fn small(&mut self, most: usize, out: &mut Vec<u8>) {
        match self.random.below(40) {
            0 => self.database(most, out),
            n if n % 3 == 0 => self.json(out),
            _ => self.mail(out),
        }
        out.truncate(most.max(1));
    }

    /// 4 KiB pages with a header, records of text and numbers, and unused space at the end, as SQLite's are.
    fn database(&mut self, most: usize, out: &mut Vec<u8>) {
        let pages = [30, 120, 600, 2400, 7000];
        let length = (self.random.pick(&pages) * BLOCK).min(most);
        while out.len() < length {
            let page = out.len();
            out.extend_from_slice(&[13, 0, 0, 0, 40, 0, 80, 0]);
            while out.len() < page + BLOCK - 260 {
                out.extend_from_slice(&self.clock.to_be_bytes());
                self.clock += self.random.below(50);
                let host = self.words.word(&mut self.random).to_owned();
                let path = self.random.bits() >> 16;
                let _ = write!(out, "https://{host}.example.org/{path:x}/");
                self.words.write(&mut self.random, 60, out);
                let mut hash = [0; 20];
                self.random.fill(&mut hash);
                out.extend_from_slice(&hash);
            }
            out.resize(page + BLOCK, 0);
        }
    }

    fn json(&mut self, out: &mut Vec<u8>) {
        let entries = 4 + self.random.below(150);
        let _ = write!(out, "{{\"id\": {}, \"items\": [", self.random.bits());
        for _ in 0..entries {
            let word = self.words.word(&mut self.random).to_owned();
            let _ = write!(
                out,
                "{{\"k\": \"{word}\", \"v\": 0.{:016}}}, ",
                self.random.bits() >> 11
            );
        }
        let _ = write!(out, "]}}");
    }

    fn mail(&mut self, out: &mut Vec<u8>) {
        let sender = self.random.below(999);
        let id = self.random.bits();
        let _ = write!(
            out,
            "From: a{sender}@example.org\nMessage-Id: <{id:x}@example.org>\n\n"
        );
        let length = 300 + self.random.index(4000) * self.random.index(4000) / 1000;
        self.words.write(&mut self.random, length, out);
    }

    /// One of the sizes, a half less or more.
    fn about(&mut self, sizes: &[usize]) -> usize {
        let size = self.random.pick(sizes);
        size / 2 + self.random.index(size)
    }
}
