//! A progress bar on standard error, or a log line now and then where that is no terminal.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tracing::info;

use crate::backfill::Progress;

const REDRAW: Duration = Duration::from_millis(200);
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Runs `work` and shows how far `progress` is until it ends.
pub(super) async fn shown<T>(progress: &Progress, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut view = View::new();
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

struct View {
    bar: ProgressBar,
    began: Instant,
    logged: Instant,
}

impl View {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:32} {human_pos}/{human_len} blocks  {msg}  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let now = Instant::now();
        View {
            bar: ProgressBar::new(0).with_style(style),
            began: now,
            logged: now,
        }
    }

    fn draw(&mut self, progress: &Progress) {
        let (done, planned) = progress.blocks();
        if planned == 0 {
            return;
        }
        let rate = progress.transfers_per_second(self.began.elapsed());
        if !self.bar.is_hidden() {
            self.bar.set_length(planned);
            self.bar.set_position(done);
            self.bar.set_message(format!("{rate:.0} events/s"));
        } else if self.logged.elapsed() >= LOG_INTERVAL {
            self.logged = Instant::now();
            let left = Duration::from_secs_f64(
                self.began.elapsed().as_secs_f64() * (planned.saturating_sub(done)) as f64 / done.max(1) as f64,
            );
            info!(
                done,
                planned,
                events_per_second = rate.round(),
                seconds_left = left.as_secs(),
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
        self.transfers.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64().max(0.001)
    }
}
