//! Plain lines, for logs and for the journal.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::aim::Aim;
use super::board::{Board, Ticker, unpoisoned};
use super::line::line;
use super::message;
use super::summary;
use crate::joints::sanitise::sanitise;
use crate::joints::{Activity, Level, Monitor, Outcome, Progress, Summary, Task};

/// Where lines go.
type Sink = Arc<Mutex<Box<dyn Write + Send>>>;

/// Lines: of each running task now and then, of each message, and the summary.
pub struct Plain {
    board: Arc<Board>,
    err: Sink,
    out: Sink,
    least: Level,
    aim: Aim,
    _ticker: Option<Ticker>,
}

impl Plain {
    /// Progress and messages from `least` on go to `err`, the summary to `out`. Progress is told `every` so often;
    /// without that, and without a summary, it is quiet.
    pub fn new(
        out: Box<dyn Write + Send>,
        err: Box<dyn Write + Send>,
        least: Level,
        every: Option<Duration>,
    ) -> Self {
        let board = Arc::new(Board::default());
        let err: Sink = Arc::new(Mutex::new(err));
        let ticker = every.map(|every| {
            let (board, err) = (board.clone(), err.clone());
            Ticker::start(every, move || tell(&board, &err))
        });
        Self {
            board,
            err,
            out: Arc::new(Mutex::new(out)),
            least,
            aim: Aim::default(),
            _ticker: ticker,
        }
    }
}

fn tell(board: &Board, err: &Sink) {
    for running in board.running() {
        let (task, counts) = (&running.task, running.progress.counts());
        let text = line(task.activity, counts, task.total, running.since.elapsed());
        let volume = sanitise(task.volume.as_bytes(), 255);
        write(err, &format!("{volume}: {text}\n"));
    }
}

/// A log that cannot be written must not stop a backup.
fn write(sink: &Sink, text: &str) {
    let mut sink = unpoisoned(sink);
    drop(sink.write_all(text.as_bytes()).and_then(|()| sink.flush()));
}

impl Monitor for Plain {
    fn begin(&self, task: &Task) -> Arc<Progress> {
        self.board.begin(task).progress
    }

    fn end(&self, progress: &Arc<Progress>, outcome: &Outcome) {
        let Some(ended) = self.board.end(progress) else {
            return;
        };
        if self.least <= Level::Note {
            let (task, counts) = (&ended.task, progress.counts());
            let how = summary::outcome(outcome);
            let volume = sanitise(task.volume.as_bytes(), 255);
            let how = sanitise(how.as_bytes(), 500);
            let figures = match (task.activity, counts.scanned) {
                // Only its structure was looked at, of which no bytes are counted.
                (Activity::Check, 0) => String::new(),
                // Without the total: nothing is left to wait for.
                _ => format!(
                    ": {}",
                    line(task.activity, counts, None, ended.since.elapsed())
                ),
            };
            write(&self.err, &format!("{volume}: {how}{figures}\n"));
        }
    }

    fn message(&self, level: Level, text: &str) {
        if level >= self.least {
            write(
                &self.err,
                &format!("{}\n", message(level, &self.aim.say(text))),
            );
        }
    }

    fn summary(&self, summary: &Summary) {
        if self.least <= Level::Note {
            write(&self.out, &(self.aim.head() + &summary::text(summary)));
        }
    }

    fn target(&self, name: &str) {
        self.aim.at(name);
    }
}
