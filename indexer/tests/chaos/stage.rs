//! The world of one schedule: a chain, three endpoints, two daemons, tools, servers; and what is done to them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use decoders::block::{BlockRef, ChainId};
use sqlx::AssertSqlSafe;
use testchain::ledger::{Finality, Ledger};
use testchain::simulation::{Simulation, Step};
use testkit::database::Database;
use testkit::mongo::MongoDatabase;
use testkit::patience::within;

use crate::consumer::Consumer;
use crate::endpoint::Endpoint;
use crate::harness::program::{Process, Setup};
use crate::harness::traffic;
use crate::host::Host;
use crate::plan::{Act, Behaviour, DAEMONS, ENDPOINTS, Edit, HOSTS, Hold, Line, Plan, Server, Tool};
use crate::report::Outcome;
use crate::servers::Servers;

/// How often daemons are looked at while nothing is done.
const GLANCE: Duration = Duration::from_millis(100);
/// How long a command beside the daemons may take once everything is well again.
const TOOL_ENDS: Duration = Duration::from_secs(180);
/// The broker gives a connection up after twice this without a sign of life.
const HEARTBEAT_S: u64 = 3;
/// Where an added contract stands; nothing is there.
const CONTRACT: &str = "0x7777777777777777777777777777777777777777";

/// Everything of one schedule.
pub(crate) struct Stage {
    pub(crate) simulation: Simulation,
    /// What the honest endpoints serve.
    pub(crate) truth: Ledger,
    pub(crate) database: Database,
    pub(crate) consumer: Consumer,
    pub(crate) hosts: Vec<Host>,
    pub(crate) outcome: Outcome,
    endpoints: Vec<Endpoint>,
    tools: Vec<Command>,
    /// Hosts whose daemons were held up as leaders.
    held: Vec<usize>,
    servers: Servers,
    depth: u64,
    /// The highest block that was ever final: no reorg goes below it.
    floor: u64,
    branches: u64,
    seed: u64,
    began: Instant,
    /// Dropped behind everything that uses it.
    _mongo: Option<MongoDatabase>,
}

/// A command beside the daemons.
struct Command {
    shown: String,
    process: Process,
    killed: bool,
}

impl Stage {
    /// Makes the world of `plan`; nothing runs yet.
    pub(crate) async fn set(plan: &Plan) -> Stage {
        let servers = Servers::find().await;
        let (database, consumer) = (Database::new().await, Consumer::bind().await);
        be_durable(&database).await;
        let mongo = plan.archived_in_mongo.then(MongoDatabase::new);
        let depth = plan.finalized_depth;
        let mut simulation = Simulation::new(traffic(plan.seed));
        let blocks = simulation.blocks(plan.blocks.max(2));
        let finality = Finality {
            safe_depth: depth / 2,
            finalized_depth: depth,
        };
        let truth = Ledger::new(simulation.settings().chain_id, blocks, finality);
        let mut endpoints = Vec::new();
        for number in 0..ENDPOINTS {
            let seed = plan.seed.wrapping_mul(10) + number as u64;
            endpoints.push(Endpoint::start(&simulation, &truth, depth, seed).await);
        }
        let urls: Vec<String> = endpoints
            .iter()
            .enumerate()
            .map(|(number, one)| one.url(number))
            .collect();
        let chain = ChainId(truth.chain_id());
        let mut setup = Setup::new(&database, chain, &urls);
        if let Some(mongo) = &mongo {
            setup = setup.archived_in(mongo);
        }
        // With the usual heartbeat the broker would keep a held connection, and what it guards, for longer than a schedule lasts.
        let broker = format!(
            "{}?heartbeat={HEARTBEAT_S}",
            testkit::services::service("TEST_AMQP_URL")
        );
        setup.broker = Some((broker, consumer.exchange.clone()));
        setup.lease_ttl_ms = plan.lease_ttl_ms;
        setup.pipeline = format!("integrity_backfill = {:?}", plan.integrity_backfill);
        let mut hosts = Vec::new();
        for number in 0..HOSTS {
            hosts.push(Host::new(number, &setup).await);
        }
        let floor = truth.finalized().map_or(0, |block| block.number);
        let mut outcome = Outcome::default();
        outcome.count(plan);
        Stage {
            simulation,
            truth,
            database,
            consumer,
            hosts,
            outcome,
            endpoints,
            tools: Vec::new(),
            held: Vec::new(),
            servers,
            depth,
            floor,
            branches: 0,
            seed: plan.seed,
            began: Instant::now(),
            _mongo: mongo,
        }
    }

    /// The chain.
    pub(crate) fn chain(&self) -> ChainId {
        ChainId(self.truth.chain_id())
    }

    /// The chain's head.
    pub(crate) fn head(&self) -> BlockRef {
        let head = self.truth.head().expect("the chain has blocks");
        BlockRef {
            number: head.number,
            hash: head.hash,
        }
    }

    /// The chain's finalized block.
    pub(crate) fn finalized(&self) -> u64 {
        self.truth.finalized().map_or(0, |block| block.number)
    }

    /// Plays the whole plan.
    pub(crate) async fn play(&mut self, plan: &Plan) {
        self.began = Instant::now();
        for daemon in 0..DAEMONS {
            self.hosts[daemon].start();
        }
        for timed in &plan.acts {
            let at = Duration::from_millis(timed.at_ms);
            while self.began.elapsed() < at {
                self.watch();
                tokio::time::sleep(GLANCE.min(at.saturating_sub(self.began.elapsed()))).await;
            }
            self.act(timed.act).await;
        }
    }

    async fn act(&mut self, act: Act) {
        let outcome = &mut self.outcome;
        match act {
            Act::Grow(blocks) => self.step(Step::Advance { blocks }),
            Act::Reorg { depth, blocks } => self.reorg(depth, blocks),
            Act::Start(daemon) => self.hosts[daemon].start(),
            Act::Kill(daemon) => outcome.kills += u64::from(self.hosts[daemon].kill()),
            Act::Terminate(daemon) => self.hosts[daemon].terminate(),
            Act::Stop(daemon) => outcome.stops += u64::from(self.hosts[daemon].stop()),
            Act::Continue(daemon) => self.hosts[daemon].go_on(),
            Act::HoldLeader(hold) => self.hold_leader(hold).await,
            Act::ReleaseLeader => self.release_leader(),
            Act::Line { host, server, state } => self.hosts[host].line(server, state),
            Act::Endpoint { number, behaviour } => {
                self.hosts.iter_mut().for_each(Host::excuse);
                self.endpoints[number].behave(behaviour, &self.simulation, &self.truth);
            }
            Act::Down { server, how } => {
                outcome.servers += 1;
                self.hosts.iter_mut().for_each(Host::excuse);
                self.servers.down(server, how).await;
            }
            Act::Up => self.servers.up().await,
            Act::Demote => {
                outcome.servers += 1;
                self.hosts.iter_mut().for_each(Host::excuse);
                self.servers.demote().await;
            }
            Act::Promote => self.servers.promote().await,
            Act::Tool { tool, from, to } => self.tool(tool, from, to),
            Act::KillTool => outcome.kills += u64::from(self.tools.last_mut().is_some_and(Command::kill)),
            Act::StopTool => outcome.stops += u64::from(self.tools.last_mut().is_some_and(|tool| tool.signal("STOP"))),
            Act::ContinueTools => self.go_on_with_tools(),
            Act::Edit(edit) => self.edit(edit),
        }
    }

    fn step(&mut self, step: Step) {
        let ancestor = match step {
            Step::Advance { .. } => self.head().number,
            Step::Reorg { depth, .. } => self.head().number - depth,
        };
        self.simulation.play(step, &self.truth);
        self.floor = self.floor.max(self.finalized());
        for endpoint in &mut self.endpoints {
            endpoint.step(step, ancestor, &self.truth);
        }
    }

    fn reorg(&mut self, depth: u64, blocks: u64) {
        let depth = depth.min(self.head().number - self.floor);
        if depth == 0 {
            return;
        }
        self.branches += 1;
        self.outcome.reorgs += 1;
        self.outcome.deepest = self.outcome.deepest.max(depth);
        let (blocks, branch) = (blocks.max(1), self.branches);
        self.step(Step::Reorg { depth, blocks, branch });
    }

    fn tool(&mut self, tool: Tool, from: u64, to: u64) {
        let part = |thousandths: u64| (self.floor * thousandths / 1_000).to_string();
        let (chain, from, to) = (self.chain().to_string(), part(from), part(to));
        let range = ["--chain", &chain, "--from", &from, "--to", &to];
        match tool {
            Tool::Backfill => self.command(&[&["backfill"][..], &range, &["--workers", "2"]].concat()),
            Tool::Replay => self.command(&[&["replay"][..], &range].concat()),
        }
        self.outcome.tools += 1;
    }

    fn edit(&mut self, edit: Edit) {
        let chain = self.chain().to_string();
        // The same endpoint under another path is another endpoint.
        let (added, number) = (
            format!("{}/again", self.endpoints[0].url(0).trim_end_matches('/')),
            ENDPOINTS + 1,
        );
        let (added, number) = (added.as_str(), number.to_string());
        let of_chain = ["--chain", &chain];
        match edit {
            Edit::Enable(enabled) => {
                self.hosts.iter_mut().for_each(Host::excuse);
                self.command(&["registry", "chains", "set", &chain, "--enabled", &enabled.to_string()]);
            }
            Edit::Activate { endpoint, active } => {
                let id = (endpoint + 1).to_string();
                self.command(&["registry", "endpoints", "set", &id, "--active", &active.to_string()]);
            }
            Edit::AddEndpoint => {
                self.command(&[&["registry", "endpoints", "add"][..], &of_chain, &["--url", added]].concat());
            }
            Edit::RemoveEndpoint => self.command(&["registry", "endpoints", "remove", &number]),
            Edit::AddContract => {
                let row = ["--address", CONTRACT, "--name", "Seven", "--standard", "erc721"];
                self.command(&[&["registry", "contracts", "add"][..], &of_chain, &row].concat());
            }
            Edit::RemoveContract => {
                let key = ["--address", CONTRACT];
                self.command(&[&["registry", "contracts", "remove"][..], &of_chain, &key].concat());
            }
            Edit::Interval(ms) => {
                self.command(&[
                    "registry",
                    "chains",
                    "set",
                    &chain,
                    "--poll-interval-ms",
                    &ms.to_string(),
                ]);
            }
        }
    }

    fn command(&mut self, arguments: &[&str]) {
        self.tools.push(Command {
            shown: arguments.join(" "),
            process: self.hosts[DAEMONS].program.start(arguments),
            killed: false,
        });
    }

    async fn hold_leader(&mut self, hold: Hold) {
        let Some(leader) = self.leader().await else {
            return;
        };
        self.held.push(leader);
        let host = &mut self.hosts[leader];
        match hold {
            Hold::Whole => self.outcome.stops += u64::from(host.stop()),
            Hold::Archive => host.line(Server::Archive, Line::Held),
            Hold::Database => host.line(Server::Database, Line::Held),
        }
    }

    fn release_leader(&mut self) {
        for leader in std::mem::take(&mut self.held) {
            let host = &mut self.hosts[leader];
            host.go_on();
            host.line(Server::Archive, Line::Whole);
            host.line(Server::Database, Line::Whole);
        }
    }

    /// The host whose daemon holds the lease, which names its process; none while the database does not answer.
    async fn leader(&self) -> Option<usize> {
        let holder = sqlx::query_scalar("select holder from indexer_service.chain_leases where chain_id = $1")
            .bind(self.chain().to_string())
            .fetch_one(&self.database.store.pool);
        let holder: String = tokio::time::timeout(GLANCE, holder).await.ok()?.ok()?;
        self.hosts.iter().position(|host| host.holds(&holder))
    }

    fn go_on_with_tools(&mut self) {
        for tool in &mut self.tools {
            tool.signal("CONT");
        }
    }

    /// Looks after the daemons.
    pub(crate) fn watch(&mut self) {
        for host in &mut self.hosts {
            self.outcome.failures.extend(host.watch());
        }
    }

    /// Ends every fault, lets the chain become final, and starts what does not run. The clock of the recovery starts here.
    pub(crate) async fn heal(&mut self) -> Instant {
        self.servers.up().await;
        self.servers.promote().await;
        for endpoint in &mut self.endpoints {
            endpoint.behave(Behaviour::Honest, &self.simulation, &self.truth);
        }
        for host in &mut self.hosts {
            host.restore();
            host.go_on();
        }
        self.go_on_with_tools();
        let healed = Instant::now();
        self.step(Step::Advance {
            blocks: self.depth + 10,
        });
        for mut tool in std::mem::take(&mut self.tools) {
            self.outcome.failures.extend(tool.end().await);
        }
        self.edit(Edit::Enable(true));
        for endpoint in 0..ENDPOINTS {
            self.edit(Edit::Activate { endpoint, active: true });
        }
        for mut edit in std::mem::take(&mut self.tools) {
            self.outcome.failures.extend(edit.end().await);
        }
        for daemon in 0..DAEMONS {
            self.watch();
            self.hosts[daemon].start();
        }
        healed
    }

    /// Counts what the endpoints were asked.
    pub(crate) fn count_requests(&mut self) {
        self.outcome.requests = self.endpoints.iter().map(Endpoint::requests).sum();
        self.outcome.failed_requests = self.endpoints.iter().map(Endpoint::failures).sum();
    }

    /// Copies configurations and logs where CHAOS_LOGS names, for the developer who looks for the cause.
    fn keep_logs(&self) {
        let Ok(kept) = std::env::var("CHAOS_LOGS") else {
            return;
        };
        let stamp = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        for (number, host) in self.hosts.iter().enumerate() {
            let folder = PathBuf::from(&kept).join(format!("seed-{}-{stamp}/host-{number}", self.seed));
            std::fs::create_dir_all(&folder).ok();
            let files = std::fs::read_dir(host.program.folder()).into_iter().flatten().flatten();
            for file in files {
                std::fs::copy(file.path(), folder.join(file.file_name())).ok();
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() || !self.outcome.failures.is_empty() {
            self.keep_logs();
        }
    }
}

impl Command {
    fn signal(&mut self, name: &str) -> bool {
        let runs = self.process.ended().is_none();
        if runs {
            self.process.signal(name);
        }
        runs
    }

    fn kill(&mut self) -> bool {
        let runs = self.process.ended().is_none();
        if runs {
            self.process.kill();
            self.killed = true;
        }
        runs
    }

    /// Waits for its end; what is wrong about it. It may end for want of a server or an endpoint, or because its range is not final
    /// for the endpoint it asked, or because the edit before it did not come about.
    async fn end(&mut self) -> Option<String> {
        let Some(status) = within(TOOL_ENDS, async || self.process.ended()).await else {
            return Some(format!("`{}` does not end", self.shown));
        };
        self.process.assert_no_panic();
        let permitted = status.code().is_some_and(|code| matches!(code, 0 | 4..=7 | 9 | 10));
        if permitted || self.killed {
            return None;
        }
        let log = self.process.log();
        let last = log.lines().rfind(|line| !line.starts_with('{')).unwrap_or("nothing");
        Some(format!("`{}` ended with {status}: {last}", self.shown))
    }
}

/// What the servers' settings leave out because no other test ends them: a commit that was confirmed outlives the server.
async fn be_durable(database: &Database) {
    let name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(&database.store.pool)
        .await
        .unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!(
        "alter database {name} set synchronous_commit = on"
    )))
    .execute(&database.store.pool)
    .await
    .unwrap();
}
