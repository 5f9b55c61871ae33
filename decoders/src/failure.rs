//! What every crate reports of an error to the caller that may try again.

/// What a caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again with backoff and jitter.
    Transient,
    /// The chain moved under the writer: read the checkpoint again and rewind if need be.
    Reorg,
    /// Stop: another try would end the same way. Unknown errors are fatal.
    Fatal,
    /// Asked to stop.
    Cancelled,
}
