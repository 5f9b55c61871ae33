//! A machine that the program runs on: configuration, connections of its own, one daemon.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use testkit::wire::Wire;
use url::Url;

use crate::harness::program::{Process, Program, Setup};
use crate::plan::{Line, Server};

/// Number of the signal that asks a process to end.
const SIGTERM: i32 = 15;
/// How long a supervisor waits before it starts a daemon again.
const RESTART: Duration = Duration::from_secs(1);

/// One machine.
pub(crate) struct Host {
    number: usize,
    /// The program with its configuration.
    pub(crate) program: Program,
    database: Wire,
    archive: Option<Wire>,
    broker: Wire,
    daemon: Option<Process>,
    /// Whether it is started again when it ends.
    wanted: bool,
    /// Whether it was asked to end.
    asked: bool,
    stopped: bool,
    /// When it last ended on its own.
    ended: Option<Instant>,
    /// Whether a connection of this host, or a server, failed since the daemon was started: then it may end while it starts.
    excused: bool,
}

impl Host {
    /// A machine whose connections are those of `setup`, by way of wires of its own.
    pub(crate) async fn new(number: usize, setup: &Setup) -> Host {
        let database = Wire::to(&setup.database).await;
        let mut own = Setup {
            database: database.url(&setup.database),
            ..setup.clone()
        };
        let archive = match &setup.archive {
            Some((url, name)) => {
                let wire = Wire::to(url).await;
                let mut direct: Url = wire.url(url).parse().unwrap();
                // The set would name its member by an address that no wire leads to.
                direct.set_query(Some("directConnection=true"));
                own.archive = Some((direct.into(), name.clone()));
                Some(wire)
            }
            None => None,
        };
        let (url, exchange) = setup.broker.clone().expect("chaos has a broker");
        let broker = Wire::to(&url).await;
        own.broker = Some((broker.url(&url), exchange));
        Host {
            number,
            program: Program::new(&own),
            database,
            archive,
            broker,
            daemon: None,
            wanted: false,
            asked: false,
            stopped: false,
            ended: None,
            excused: false,
        }
    }

    /// Starts the daemon where it does not run.
    pub(crate) fn start(&mut self) {
        self.wanted = true;
        if self.daemon.is_none() {
            self.daemon = Some(self.program.start(&["run"]));
            self.asked = false;
            self.stopped = false;
        }
    }

    /// Kills the daemon.
    pub(crate) fn kill(&mut self) -> bool {
        self.wanted = false;
        let Some(mut daemon) = self.daemon.take() else {
            return false;
        };
        if daemon.ended().is_none() {
            daemon.kill();
        }
        daemon.assert_no_panic();
        true
    }

    /// Asks the daemon to end.
    pub(crate) fn terminate(&mut self) {
        self.wanted = false;
        // A second signal would end it at once.
        self.asked = self.asked || self.signal("TERM");
    }

    /// Pauses the daemon; whether there was one.
    pub(crate) fn stop(&mut self) -> bool {
        self.stopped = self.signal("STOP");
        self.stopped
    }

    /// Lets a paused daemon go on.
    pub(crate) fn go_on(&mut self) {
        if std::mem::take(&mut self.stopped) {
            self.signal("CONT");
        }
    }

    /// What the connections to a server do from now on.
    pub(crate) fn line(&mut self, server: Server, state: Line) {
        let wire = match server {
            Server::Database => Some(&self.database),
            Server::Archive => self.archive.as_ref(),
            Server::Broker => Some(&self.broker),
        };
        let Some(wire) = wire else {
            return;
        };
        match state {
            Line::Whole => wire.restore(),
            Line::Cut => wire.cut(),
            Line::Held => wire.mute(),
            Line::Dripping => wire.drip(),
        }
        self.excused = true;
    }

    /// A server went away, or endpoints did: a daemon that just starts may end for it.
    pub(crate) fn excuse(&mut self) {
        self.excused = true;
    }

    /// Whether this host's daemon is the one that a lease names.
    pub(crate) fn holds(&self, holder: &str) -> bool {
        let own = self.daemon.as_ref().map(|daemon| format!("-{}-", daemon.id()));
        own.is_some_and(|own| holder.contains(&own))
    }

    /// Everything passes again.
    pub(crate) fn restore(&mut self) {
        for server in [Server::Database, Server::Archive, Server::Broker] {
            self.line(server, Line::Whole);
        }
    }

    /// Starts a daemon again that ended; what is wrong about its end, if anything is.
    pub(crate) fn watch(&mut self) -> Option<String> {
        if self.daemon.is_none() && self.wanted && self.ended.is_some_and(|ended| ended.elapsed() > RESTART) {
            self.start();
        }
        let daemon = self.daemon.as_mut()?;
        let status = daemon.ended()?;
        daemon.assert_no_panic();
        let (began, log) = (daemon.log().contains("\"following\""), daemon.log());
        // A process that has not come to listen to signals yet is ended by them.
        let asked = self.asked && (status.success() || !began && status.signal() == Some(SIGTERM));
        self.daemon = None;
        self.ended = Some(Instant::now());
        // A daemon that starts may end for want of a server or a chain (a supervisor starts it again); one that runs must not.
        let starts = self.excused && !began && status.code().is_some_and(|code| matches!(code, 4..=7 | 10));
        let last = log.lines().rfind(|line| !line.starts_with('{')).unwrap_or("nothing");
        (!starts && !asked).then(|| format!("daemon {} ended with {status}: {last}", self.number))
    }

    /// SIGTERM, and how it ended.
    pub(crate) async fn finish(&mut self) -> Option<String> {
        self.wanted = false;
        let mut daemon = self.daemon.take()?;
        if daemon.ended().is_none() {
            daemon.signal("TERM");
        }
        let status = daemon.end().await;
        daemon.assert_no_panic();
        (!status.success()).then(|| format!("daemon {} ended with {status} when it was asked to stop", self.number))
    }

    /// The end of the daemon's log.
    pub(crate) fn log_end(&self) -> String {
        self.daemon.as_ref().map(Process::log_end).unwrap_or_default()
    }

    fn signal(&mut self, name: &str) -> bool {
        let runs = self.daemon.as_mut().is_some_and(|daemon| daemon.ended().is_none());
        if let Some(daemon) = self.daemon.as_ref().filter(|_| runs) {
            daemon.signal(name);
        }
        runs
    }
}
