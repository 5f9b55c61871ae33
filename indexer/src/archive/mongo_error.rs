//! What errors of MongoDB's driver mean.

use std::time::Duration;

use decoders::failure::Class;
use mongodb::error::{Error, ErrorKind, WriteFailure};

/// How long to look for a usable server before an operation fails.
pub(super) const SELECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Code of MongoDB's duplicate key error.
const DUPLICATE_KEY: i32 = 11_000;

/// How many documents were there already, when that is all `error` reports: another writer put the same log.
pub(super) fn duplicates(error: &Error) -> Option<usize> {
    let ErrorKind::InsertMany(failure) = error.kind.as_ref() else {
        return None;
    };
    let errors = failure
        .write_errors
        .as_ref()
        .filter(|_| failure.write_concern_error.is_none())?;
    errors
        .iter()
        .all(|error| error.code == DUPLICATE_KEY)
        .then_some(errors.len())
}

/// What a caller should do about a driver error.
pub(super) fn class(error: &Error) -> Class {
    match error.kind.as_ref() {
        ErrorKind::Io(_)
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. }
        // A login that worked when the archive was opened: an operator is about to change it.
        | ErrorKind::Authentication { .. }
        | ErrorKind::Write(WriteFailure::WriteConcernError(_)) => Class::Transient,
        ErrorKind::Write(WriteFailure::WriteError(failure)) if is_passing(failure.code) => Class::Transient,
        // A write that a majority did not confirm in time may still stand; putting it again is harmless.
        ErrorKind::InsertMany(failure) if failure.write_concern_error.is_some() => Class::Transient,
        _ if [
            "RetryableWriteError",
            "RetryableError",
            "NetworkError",
            "TransientTransactionError",
        ]
        .iter()
        .any(|label| error.contains_label(label)) =>
        {
            Class::Transient
        }
        ErrorKind::InsertMany(failure) if failure.write_errors.iter().flatten().any(|error| is_passing(error.code)) => Class::Transient,
        ErrorKind::Command(failure) if is_passing(failure.code) => Class::Transient,
        _ => Class::Fatal,
    }
}

/// Whether an error of this code passes: of a server that steps down, recovers, is interrupted or overloaded, or waits for an operator,
/// because its disk or memory is full.
pub(super) fn is_passing(code: i32) -> bool {
    PASSING_CODES.contains(&code)
}

const PASSING_CODES: [i32; 29] = [
    6, 7, 18, 24, 43, 46, 50, 64, 89, 91, 112, 133, 134, 146, 175, 189, 202, 237, 262, 9001, 10058, 10107, 11600,
    11601, 11602, 13388, 13435, 13436, 14031,
];

/// What the driver reported, in one line.
pub(super) fn reason(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::ServerSelection { message, .. } => no_server(message),
        ErrorKind::Authentication { .. } => "the login was refused".into(),
        ErrorKind::Io(error) => format!("the connection broke: {error}"),
        kind => kind.to_string().replace('\n', " "),
    }
}

/// Why no server could be used: of the driver's picture of them all, each server's address and the error it was last left with.
fn no_server(picture: &str) -> String {
    let servers = picture.split("Address: ").skip(1).filter_map(|server| {
        let address = server.split(',').next()?;
        let (_, error) = server.split_once("Error: ")?;
        let error = error.split(", labels:").next()?.trim_start_matches("Kind: ");
        Some(format!("{address}: {error}"))
    });
    let causes: Vec<String> = servers.collect();
    let seconds = SELECTION_TIMEOUT.as_secs();
    if causes.is_empty() {
        return format!("no server that can be used was found within {seconds} s");
    }
    format!("no server can be used ({})", causes.join("; "))
}
