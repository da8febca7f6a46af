//! Progress bars: one for each volume, and one for all of them.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::aim::Aim;
use super::board::{Board, Running, Ticker, unpoisoned};
use super::line::line;
use super::{message, summary};
use crate::joints::sanitise::sanitise;
use crate::joints::{Activity, Counts, Level, Monitor, Outcome, Progress, Summary, Task};

/// Bars on standard error, the summary on standard output.
pub struct Terminal {
    shared: Arc<Shared>,
    least: Level,
    aim: Aim,
    _ticker: Ticker,
}

struct Shared {
    board: Board,
    bars: MultiProgress,
    state: Mutex<State>,
    began: Instant,
}

/// The bars, and what the tasks that are over have counted.
#[derive(Default)]
struct State {
    /// By the address of the task's counters, which lives as long as the task.
    of_tasks: BTreeMap<usize, ProgressBar>,
    total: Option<ProgressBar>,
    done: Counts,
    done_total: u64,
    tasks: usize,
}

impl Terminal {
    /// Bars for a terminal; messages from `least` on. `None` where standard error is no terminal, or one that cannot
    /// move its cursor (`TERM=dumb`): the library would draw nothing there, and swallow messages too.
    pub fn new(least: Level) -> Option<Self> {
        let target = ProgressDrawTarget::stderr_with_hz(10);
        (!target.is_hidden()).then(|| Self::on(target, least))
    }

    fn on(target: ProgressDrawTarget, least: Level) -> Self {
        let shared = Arc::new(Shared {
            board: Board::default(),
            bars: MultiProgress::with_draw_target(target),
            state: Mutex::default(),
            began: Instant::now(),
        });
        let ticking = shared.clone();
        Self {
            shared,
            least,
            aim: Aim::default(),
            _ticker: Ticker::start(Duration::from_millis(200), move || ticking.redraw()),
        }
    }
}

fn address(progress: &Arc<Progress>) -> usize {
    Arc::as_ptr(progress).addr()
}

/// The library's own default if the template should ever not please it.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:18!} [{bar:10}] {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

impl Shared {
    fn redraw(&self) {
        let running = self.board.running();
        let state = unpoisoned(&self.state);
        let (mut sum, mut whole) = (state.done, Some(state.done_total));
        let mut activity = Activity::Send;
        for one in &running {
            let counts = one.progress.counts();
            if let Some(bar) = state.of_tasks.get(&address(&one.progress)) {
                show(bar, one.task.activity, counts, one.task.total, one.since);
            }
            sum = sum.plus(counts);
            whole = whole.and_then(|whole| whole.checked_add(one.task.total?));
            activity = one.task.activity;
        }
        if let Some(bar) = &state.total {
            show(bar, activity, sum, whole, self.began);
        }
    }

    fn begin(&self, task: &Task) -> Running {
        let running = self.board.begin(task);
        let mut state = unpoisoned(&self.state);
        state.tasks += 1;
        if state.tasks == 2 && state.total.is_none() {
            let bar = ProgressBar::new(0).with_style(style()).with_prefix("total");
            state.total = Some(self.bars.add(bar));
        }
        let name = sanitise(task.volume.as_bytes(), 255);
        let bar = ProgressBar::new(task.total.unwrap_or(0))
            .with_style(style())
            .with_prefix(name);
        // The total stays below.
        let bar = match &state.total {
            Some(total) => self.bars.insert_before(total, bar),
            None => self.bars.add(bar),
        };
        state.of_tasks.insert(address(&running.progress), bar);
        running
    }

    fn end(&self, progress: &Arc<Progress>, outcome: &Outcome) {
        let Some(ended) = self.board.end(progress) else {
            return;
        };
        let mut state = unpoisoned(&self.state);
        state.done = state.done.plus(progress.counts());
        state.done_total = state
            .done_total
            .saturating_add(ended.task.total.unwrap_or(0));
        if let Some(bar) = state.of_tasks.remove(&address(progress)) {
            // Gone at once: with two hundred volumes the finished ones would fill the screen. The summary names them.
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        if let Outcome::Partly(why) | Outcome::Failed(why) = outcome {
            let text = format!("{}: {why}", ended.task.volume);
            self.say(&message(Level::Error, &text));
        }
    }

    /// Prints a line above the bars. Not through the library, which fills the line with spaces up to the terminal's edge and sends no line feed:
    /// whoever copies or records the screen would get everything in one line.
    fn say(&self, text: &str) {
        self.bars
            .suspend(|| drop(writeln!(std::io::stderr().lock(), "{text}")));
    }

    /// Takes all bars away, so that ordinary output can follow.
    fn clear(&self) {
        let mut state = unpoisoned(&self.state);
        state.of_tasks.clear();
        if let Some(total) = state.total.take() {
            total.finish_and_clear();
        }
        drop(self.bars.clear());
    }
}

fn show(bar: &ProgressBar, activity: Activity, counts: Counts, total: Option<u64>, since: Instant) {
    bar.set_length(total.unwrap_or(counts.scanned));
    bar.set_position(counts.scanned);
    bar.set_message(line(activity, counts, total, since.elapsed()));
}

impl Monitor for Terminal {
    fn begin(&self, task: &Task) -> Arc<Progress> {
        self.shared.begin(task).progress
    }

    fn end(&self, progress: &Arc<Progress>, outcome: &Outcome) {
        self.shared.end(progress, outcome);
    }

    fn message(&self, level: Level, text: &str) {
        if level >= self.least {
            self.shared.say(&message(level, &self.aim.say(text)));
        }
    }

    fn summary(&self, summary: &Summary) {
        self.shared.clear();
        let text = self.aim.head() + &summary::text(summary);
        drop(std::io::stdout().lock().write_all(text.as_bytes()));
    }

    fn target(&self, name: &str) {
        self.aim.at(name);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.shared.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_of_many_threads_come_and_go_while_bars_are_drawn() {
        let terminal = Terminal::on(ProgressDrawTarget::hidden(), Level::Note);
        std::thread::scope(|scope| {
            for number in 0..8 {
                let terminal = &terminal;
                scope.spawn(move || {
                    for _ in 0..20 {
                        let progress = terminal.begin(&Task {
                            activity: Activity::Send,
                            volume: format!("v{number}"),
                            total: Some(10),
                        });
                        progress.scanned(10);
                        terminal.shared.redraw();
                        terminal.end(&progress, &Outcome::Done);
                    }
                });
            }
        });
        assert!(terminal.shared.board.running().is_empty());
        let state = unpoisoned(&terminal.shared.state);
        assert_eq!((state.done.scanned, state.done_total), (1600, 1600));
        assert!(state.of_tasks.is_empty());
    }
}
