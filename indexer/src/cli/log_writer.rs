//! Log lines on their way to standard error. Nothing that becomes of them there holds up or ends the work they are about: a disk
//! that is full, a reader that has left, or one that stays and does not read.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for a slow reader; further ones are dropped and counted.
const WAITING: usize = 4_096;
/// How long the lines that still wait may take once the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// What the writing thread is sent.
enum Message {
    Line(Vec<u8>),
    /// Everything before this was written, or given up.
    Flush(SyncSender<()>),
}

/// Passes lines to a thread that writes them.
#[derive(Clone, Debug)]
pub struct LogWriter {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl LogWriter {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(sink: impl Write + Send + 'static) -> io::Result<LogWriter> {
        let (lines, waiting) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(sink, &waiting, &counted))?;
        Ok(LogWriter { lines, dropped })
    }

    /// Waits until the lines logged so far are written, but not long.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        // A queue that is full has a reader that does not read: nothing to wait for.
        if self.lines.try_send(Message::Flush(done)).is_ok() {
            // Either way there is nothing more to do.
            written.recv_timeout(FLUSH_TIMEOUT).ok();
        }
    }
}

impl Write for LogWriter {
    /// Takes one whole line, which is how events are formatted.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.lines.try_send(Message::Line(line.to_vec())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LogWriter;

    fn make_writer(&'a self) -> LogWriter {
        self.clone()
    }
}

fn write_all(mut sink: impl Write, lines: &Receiver<Message>, dropped: &AtomicU64) {
    for message in lines {
        match message {
            Message::Line(line) => {
                // A disk that is full today may have room tomorrow, so each line is tried.
                if sink.write_all(&line).and_then(|()| sink.flush()).is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let lines = dropped.swap(0, Ordering::Relaxed);
                if lines > 0 {
                    warn!(lines, "log lines were dropped, because they could not be written");
                }
            }
            Message::Flush(done) => {
                // The one who asked may have stopped waiting.
                done.try_send(()).ok();
            }
        }
    }
}

/// Writes `text` to standard error, unless that takes long.
pub(super) fn last_words(text: String) {
    let (done, written) = channel();
    let writing = std::thread::Builder::new().spawn(move || {
        // Where standard error is closed too, the exit code still reports it.
        io::stderr().lock().write_all(text.as_bytes()).ok();
        done.send(()).ok();
    });
    if writing.is_ok() {
        written.recv_timeout(FLUSH_TIMEOUT).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::Sender;

    use super::*;

    /// Reports that it has begun to write, and goes on once the other end is gone.
    struct Stuck(Sender<()>, Mutex<Receiver<()>>);

    impl Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.send(()).ok();
            self.1.lock().unwrap().recv().ok();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_not_time() {
        let ((began, begun), (unstick, stuck)) = (channel(), channel());
        let mut log = LogWriter::start(Stuck(began, Mutex::new(stuck))).unwrap();
        log.write_all(b"first\n").unwrap();
        begun.recv().unwrap();
        for _ in 0..WAITING + 5 {
            log.write_all(b"line\n").unwrap();
        }
        assert_eq!(log.dropped.load(Ordering::Relaxed), 5);
        log.flush();
        drop(unstick);
    }

    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(bool, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            if disk.0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.1.extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_lines_until_it_has_room_again() {
        let disk = Disk::default();
        let mut log = LogWriter::start(disk.clone()).unwrap();
        for (full, line) in [(false, "one\n"), (true, "two\n"), (false, "three\n")] {
            disk.0.lock().unwrap().0 = full;
            log.write_all(line.as_bytes()).unwrap();
            log.flush();
        }
        assert_eq!(disk.0.lock().unwrap().1, b"one\nthree\n");
    }
}
