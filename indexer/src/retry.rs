//! The one place that decides what happens after an error.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use rpc::Pool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::error::Error;
use decoders::failure::Class;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Pauses between attempts: doubling, with jitter, without end.
pub fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Repeats `attempt` while it fails with [`Class::Transient`]; any other error is the caller's.
///
/// `what` names the work in the log. A cancelled token ends the wait with [`Error::Cancelled`], never an attempt under way.
///
/// # Errors
/// The first error that another attempt would not mend.
pub async fn persist<T, F>(
    cancel: &CancellationToken,
    what: &'static str,
    attempt: impl FnMut() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    attempts(cancel, what, None, attempt).await
}

/// The same for work that asks `endpoints`: where they are exchanged, the next attempt begins at once.
///
/// # Errors
/// As for [`persist`].
pub async fn persist_with<T, F>(
    endpoints: &Pool,
    cancel: &CancellationToken,
    what: &'static str,
    attempt: impl FnMut() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    attempts(cancel, what, Some(endpoints.edits()), attempt).await
}

async fn attempts<T, F>(
    cancel: &CancellationToken,
    what: &'static str,
    mut edits: Option<watch::Receiver<()>>,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut pauses = pauses();
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if error.class() == Class::Transient => error,
            Err(error) => return Err(error),
        };
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        warn!(%error, pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX), "{what} failed, trying again");
        tokio::select! {
            () = cancel.cancelled() => return Err(Error::Cancelled),
            () = tokio::time::sleep(pause) => {}
            () = exchanged(edits.as_mut()) => pauses = self::pauses(),
        }
    }
}

/// Returns once endpoints have been exchanged since this was last asked, also during an attempt.
pub async fn exchanged(edits: Option<&mut watch::Receiver<()>>) {
    match edits {
        // The sender lives as long as its pool.
        Some(edits) => drop(edits.changed().await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn transient_errors_are_repeated_and_others_are_not() {
        let mut left = 3;
        let cancel = CancellationToken::new();
        let done = persist(&cancel, "test", || {
            left -= 1;
            std::future::ready(if left > 0 {
                Err(Error::Stalled("not yet".to_owned()))
            } else {
                Ok(left)
            })
        });
        assert_eq!(done.await.unwrap(), 0);
        let error = persist(&cancel, "test", || std::future::ready(Err::<(), _>(Error::Cancelled)))
            .await
            .unwrap_err();
        assert_eq!(error.class(), Class::Cancelled);
    }

    #[tokio::test]
    async fn exchanged_endpoints_end_the_wait() {
        let edited = watch::Sender::new(());
        let (mut left, cancel) = (40, CancellationToken::new());
        // Without edits, so many pauses would take a quarter of an hour.
        let done = attempts(&cancel, "test", Some(edited.subscribe()), || {
            left -= 1;
            edited.send_replace(());
            std::future::ready(if left > 0 {
                Err(Error::Stalled("not yet".to_owned()))
            } else {
                Ok(left)
            })
        });
        let done = tokio::time::timeout(LONGEST_PAUSE * 2, done).await;
        assert_eq!(done.expect("no pause outlasts an edit").unwrap(), 0);
    }

    #[tokio::test]
    async fn cancelling_ends_the_wait() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let error = persist(&cancel, "test", || {
            std::future::ready(Err::<(), _>(Error::Stalled(String::new())))
        })
        .await
        .unwrap_err();
        assert_eq!(error.class(), Class::Cancelled);
    }
}
