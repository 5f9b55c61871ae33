//! What a command's body works with.

use tokio_util::sync::CancellationToken;

use super::output::Writer;
use super::progress::Terminal;
use crate::config::Config;
use crate::error::{Exit, Failure};

/// What a command's body is given.
#[derive(Clone, Debug)]
pub struct Context {
    /// The configuration with the environment laid over it.
    pub config: Config,
    /// Standard output.
    pub writer: Writer,
    /// Standard error, where progress is shown.
    pub terminal: Terminal,
    /// Cancelled by the first signal.
    pub cancel: CancellationToken,
}

impl Context {
    /// What `opening` opens, or the end of a command that was stopped before it began: a server that is waited for must not keep a
    /// process from stopping.
    pub(super) async fn opened<T>(&self, opening: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            opened = opening => opened,
            () = self.cancel.cancelled() => Err(Failure::new(Exit::Interrupted, "stopped on request before anything was begun")),
        }
    }
}
