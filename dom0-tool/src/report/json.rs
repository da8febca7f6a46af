//! JSON lines: one object a line, told apart by `event`.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::aim::Aim;
use super::board::{Board, Ticker, unpoisoned};
use crate::joints::{
    Activity, Counts, Level, Monitor, Outcome, Progress, Summary, Task, VolumeSummary,
};

/// Where lines go.
type Sink = Arc<Mutex<Box<dyn Write + Send>>>;

/// Events `begin`, `progress`, `end`, `message` and `summary`.
pub struct Json {
    board: Arc<Board>,
    out: Sink,
    least: Level,
    aim: Aim,
    _ticker: Option<Ticker>,
}

impl Json {
    /// Events go to `out`: progress `every` so often, messages from `least` on.
    pub fn new(out: Box<dyn Write + Send>, least: Level, every: Option<Duration>) -> Self {
        let board = Arc::new(Board::default());
        let out: Sink = Arc::new(Mutex::new(out));
        let aim = Aim::default();
        let ticker = every.map(|every| {
            let (board, out, aim) = (board.clone(), out.clone(), aim.clone());
            Ticker::start(every, move || {
                for running in board.running() {
                    let event = task_event("progress", &running.task, running.progress.counts());
                    write(&out, &aim, event);
                }
            })
        });
        Self {
            board,
            out,
            least,
            aim,
            _ticker: ticker,
        }
    }
}

/// A value as one line of ASCII: characters beyond it are escaped, because a terminal may be what reads it.
pub fn ascii_line(value: &impl Serialize) -> String {
    // Our own values have neither maps with odd keys nor failing serializers.
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    let mut line = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if matches!(character, ' '..='~') {
            line.push(character);
        } else {
            // Outside strings JSON has ASCII only, so this stands in a string.
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(line, "\\u{unit:04x}");
            }
        }
    }
    line.push('\n');
    line
}

fn write(out: &Sink, aim: &Aim, mut event: Value) {
    if let (Some(target), Some(fields)) = (aim.target(), event.as_object_mut()) {
        fields.insert("target".to_owned(), target.into());
    }
    let mut out = unpoisoned(out);
    // Who listened may have gone; the backup goes on.
    drop(
        out.write_all(ascii_line(&event).as_bytes())
            .and_then(|()| out.flush()),
    );
}

fn activity(activity: Activity) -> &'static str {
    match activity {
        Activity::Send => "send",
        Activity::Receive => "receive",
        Activity::Verify => "verify",
        Activity::Diff => "diff",
        Activity::Check => "check",
    }
}

fn counts_of(counts: Counts) -> Value {
    json!({
        "scanned": counts.scanned,
        "changed": counts.changed,
        "deduplicated": counts.deduplicated,
        "sent": counts.sent,
        "fetched": counts.fetched,
        "written": counts.written,
    })
}

fn task_event(event: &str, task: &Task, counts: Counts) -> Value {
    json!({
        "event": event,
        "activity": activity(task.activity),
        "volume": task.volume,
        "total": task.total,
        "counts": counts_of(counts),
    })
}

fn outcome_of(outcome: &Outcome) -> (&'static str, Option<&str>) {
    match outcome {
        Outcome::Done => ("done", None),
        Outcome::Unchanged => ("unchanged", None),
        Outcome::Partly(what) => ("part", Some(what)),
        Outcome::Failed(why) => ("failed", Some(why)),
    }
}

fn volume_of(volume: &VolumeSummary) -> Value {
    let (outcome, detail) = outcome_of(&volume.outcome);
    json!({
        "volume": volume.volume,
        "size": volume.size,
        "outcome": outcome,
        "detail": detail,
        "counts": counts_of(volume.counts),
    })
}

impl Monitor for Json {
    fn begin(&self, task: &Task) -> Arc<Progress> {
        let running = self.board.begin(task);
        write(
            &self.out,
            &self.aim,
            task_event("begin", task, Counts::default()),
        );
        running.progress
    }

    fn end(&self, progress: &Arc<Progress>, outcome: &Outcome) {
        let Some(ended) = self.board.end(progress) else {
            return;
        };
        let mut event = task_event("end", &ended.task, progress.counts());
        let (outcome, detail) = outcome_of(outcome);
        if let Some(fields) = event.as_object_mut() {
            fields.insert("outcome".to_owned(), outcome.into());
            fields.insert("detail".to_owned(), detail.into());
        }
        write(&self.out, &self.aim, event);
    }

    fn message(&self, level: Level, text: &str) {
        if level >= self.least {
            let level = match level {
                Level::Debug => "debug",
                Level::Detail => "detail",
                Level::Note => "note",
                Level::Warning => "warning",
                Level::Error => "error",
            };
            write(
                &self.out,
                &self.aim,
                json!({"event": "message", "level": level, "text": text}),
            );
        }
    }

    fn summary(&self, summary: &Summary) {
        let volumes: Vec<Value> = summary.volumes.iter().map(volume_of).collect();
        write(
            &self.out,
            &self.aim,
            json!({
                "event": "summary",
                "activity": activity(summary.activity),
                "session": summary.session,
                "dry_run": summary.dry_run,
                "seconds": summary.elapsed.as_secs_f64(),
                "counts": counts_of(summary.counts()),
                "volumes": volumes,
            }),
        );
    }

    fn target(&self, name: &str) {
        self.aim.at(name);
    }
}
