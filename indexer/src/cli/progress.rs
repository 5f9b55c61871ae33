//! How far a backfill is: a line on standard error that is redrawn, or a log line now and then where that is no terminal.

use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing::info;

use crate::backfill::Progress;

const REDRAW: Duration = Duration::from_millis(200);
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Standard error, shared by log lines and the line of progress: a log line takes its place for a moment, so that none is left
/// behind.
#[derive(Clone, Debug, Default)]
pub struct Terminal(MultiProgress);

impl Terminal {
    /// Where log lines go.
    pub fn log(&self) -> Box<dyn Write + Send> {
        if io::stderr().is_terminal() {
            Box::new(LogLines(self.0.clone()))
        } else {
            Box::new(io::stderr())
        }
    }

    /// Runs `work` and shows how far `progress` is until it ends.
    pub(super) async fn shown<T>(&self, progress: &Progress, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut view = View::new(&self.0);
        loop {
            tokio::select! {
                outcome = &mut work => {
                    view.end(progress);
                    return outcome;
                }
                () = tokio::time::sleep(REDRAW) => view.draw(progress),
            }
        }
    }
}

struct LogLines(MultiProgress);

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().lock().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

struct View {
    bar: ProgressBar,
    began: Instant,
    logged: Instant,
}

/// What there is to show of a backfill under way.
#[derive(Clone, Copy, Debug, PartialEq)]
struct State {
    done: u64,
    planned: u64,
    events_per_second: f64,
    /// Unknown until something was committed.
    left: Option<Duration>,
}

impl State {
    fn of(progress: &Progress, elapsed: Duration) -> Option<Self> {
        let (done, planned) = progress.blocks();
        let blocks_left = planned.saturating_sub(done) as f64;
        (planned > 0).then(|| State {
            done,
            planned,
            events_per_second: progress.transfers_per_second(elapsed).round(),
            left: (done > 0).then(|| elapsed.mul_f64(blocks_left / done as f64)),
        })
    }

    /// The most important first: what a narrow terminal has no room for is cut off at the end.
    fn line(self) -> String {
        let State {
            done,
            planned,
            events_per_second,
            left,
        } = self;
        let percent = done * 100 / planned.max(1);
        match left {
            Some(left) => {
                let left = indicatif::HumanDuration(left);
                format!("{percent} %, {left:#} left, {done} of {planned} blocks, {events_per_second} events/s")
            }
            None => format!("reading the first of {planned} blocks"),
        }
    }
}

impl View {
    fn new(terminal: &MultiProgress) -> Self {
        // Cut to the terminal's width, so that it never wraps: a wrapped line cannot be redrawn.
        let style = ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let now = Instant::now();
        View {
            bar: terminal.add(ProgressBar::new(0).with_style(style)),
            began: now,
            logged: now,
        }
    }

    fn draw(&mut self, progress: &Progress) {
        let Some(state) = State::of(progress, self.began.elapsed()) else {
            return;
        };
        if !self.bar.is_hidden() {
            self.bar.set_message(state.line());
        } else if self.logged.elapsed() >= LOG_INTERVAL {
            self.logged = Instant::now();
            info!(
                done = state.done,
                planned = state.planned,
                events_per_second = state.events_per_second,
                seconds_left = state.left.map(|left| left.as_secs()),
                "progress"
            );
        }
    }

    fn end(&mut self, progress: &Progress) {
        self.draw(progress);
        self.bar.finish_and_clear();
    }
}

impl Progress {
    /// Transfers committed per second of `elapsed`.
    pub fn transfers_per_second(&self, elapsed: Duration) -> f64 {
        self.facts().transfers as f64 / elapsed.as_secs_f64().max(0.001)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn what_is_left_is_told_once_something_is_committed() {
        let progress = Progress::default();
        assert_eq!(
            State::of(&progress, Duration::from_secs(9)),
            None,
            "nothing is planned yet"
        );
        progress.blocks_planned.store(400, Ordering::Relaxed);
        let state = State::of(&progress, Duration::from_secs(20)).unwrap();
        assert_eq!(state.left, None);
        assert_eq!(state.line(), "reading the first of 400 blocks");
        progress.blocks_done.store(100, Ordering::Relaxed);
        let state = State::of(&progress, Duration::from_secs(20)).unwrap();
        assert_eq!(state.left, Some(Duration::from_secs(60)));
        assert_eq!(state.line(), "25 %, 60s left, 100 of 400 blocks, 0 events/s");
    }
}
