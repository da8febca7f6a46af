//! What each kind of monitor writes.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Json, Plain};
use crate::joints::{Activity, Counts, Level, Monitor, Outcome, Summary, Task, VolumeSummary};

/// Keeps what is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn sheet(&self) -> Box<dyn Write + Send> {
        Box::new(self.clone())
    }
}

/// A run with one volume of an evil name, long enough to be seen in the middle.
fn run(monitor: &dyn Monitor, seen: &Paper) {
    let task = Task {
        activity: Activity::Send,
        volume: "evil\u{1b}[2J\u{9b}".to_owned(),
        total: Some(200),
    };
    let progress = monitor.begin(&task);
    let counts = Counts {
        scanned: 100,
        changed: 10,
        sent: 5,
        ..Counts::default()
    };
    progress.add(counts);
    // Until a tick was seen, or for those who never tick, not for long.
    for _ in 0..20 {
        if seen.text().contains("50 %") || seen.text().contains("\"progress\"") {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    monitor.message(Level::Detail, "a detail");
    monitor.message(Level::Warning, "two\nlines \u{1b}]0;title\u{7}");
    monitor.end(&progress, &Outcome::Done);
    monitor.summary(&Summary {
        activity: Activity::Send,
        session: Some("20240101-000000".to_owned()),
        dry_run: false,
        volumes: vec![VolumeSummary {
            volume: task.volume,
            size: 200,
            outcome: Outcome::Done,
            counts: progress.counts(),
        }],
        elapsed: Duration::from_secs(1),
    });
}

fn printable(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !c.is_control())
}

#[test]
fn plain_lines_tell_of_progress_and_cannot_steer_a_terminal() {
    let (out, err) = (Paper::default(), Paper::default());
    let every = Some(Duration::from_millis(2));
    let plain = Plain::new(out.sheet(), err.sheet(), Level::Note, every);
    run(&plain, &err);
    let text = err.text();
    assert!(
        text.contains("10 B changed, 5 B sent") && text.contains("50 %"),
        "{text}"
    );
    assert!(text.contains("warning: two lines"), "{text}");
    assert!(!text.contains("a detail"), "{text}");
    assert!(out.text().contains("session 20240101-000000"));
    assert!(printable(&text) && printable(&out.text()));
}

#[test]
fn quiet_says_warnings_and_errors_alone() {
    let (out, err) = (Paper::default(), Paper::default());
    run(
        &Plain::new(out.sheet(), err.sheet(), Level::Warning, None),
        &err,
    );
    assert_eq!(out.text(), "");
    assert_eq!(err.text().lines().count(), 1);
}

#[test]
fn every_json_line_is_an_object_in_ascii_with_an_event() {
    let out = Paper::default();
    let every = Some(Duration::from_millis(2));
    run(&Json::new(out.sheet(), Level::Detail, every), &out);
    let text = out.text();
    let mut events: Vec<String> = Vec::new();
    for line in text.lines() {
        assert!(
            line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{line}"
        );
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        if value["event"] == "begin" {
            assert_eq!(value["volume"], "evil\u{1b}[2J\u{9b}");
        }
        events.push(value["event"].as_str().unwrap().to_owned());
    }
    events.dedup();
    assert_eq!(events, ["begin", "progress", "message", "end", "summary"]);
}

#[test]
fn counts_from_many_threads_are_all_there() {
    let paper = Paper::default();
    let monitor = Json::new(paper.sheet(), Level::Note, None);
    let task = Task {
        activity: Activity::Verify,
        volume: "v".to_owned(),
        total: None,
    };
    let progress = monitor.begin(&task);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    progress.scanned(3);
                }
            });
        }
    });
    assert_eq!(progress.counts().scanned, 12_000);
}
