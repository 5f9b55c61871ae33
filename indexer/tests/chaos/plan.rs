//! What happens when: drawn from a seed, written down as JSON, read back.

use rand::RngExt;
use rand::seq::IndexedRandom;
use serde::{Deserialize, Serialize};

use crate::harness::{Dice, dice};

/// Everything one schedule is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Seed of the plan and of the chain's traffic.
    pub(crate) seed: u64,
    /// Blocks of the chain when the daemons start.
    pub(crate) blocks: u64,
    /// Blocks between head and finalized block; no reorg is as deep.
    pub(crate) finalized_depth: u64,
    /// Raw events in MongoDB, or in a table of PostgreSQL.
    pub(crate) archived_in_mongo: bool,
    /// Time to live of a lease.
    pub(crate) lease_ttl_ms: u64,
    /// What is proven of final blocks; logs are lied about only where receipts are.
    pub(crate) integrity_backfill: String,
    /// What happens, ascending by time.
    pub(crate) acts: Vec<Timed>,
}

/// One act and its time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timed {
    /// Since the start.
    pub(crate) at_ms: u64,
    /// What is done.
    pub(crate) act: Act,
}

/// One thing that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// The chain grows by so many blocks.
    Grow(u64),
    /// A branch replaces the top of the chain.
    Reorg { depth: u64, blocks: u64 },
    /// A daemon is started, where it does not run.
    Start(usize),
    /// SIGKILL for a daemon.
    Kill(usize),
    /// SIGTERM for a daemon.
    Terminate(usize),
    /// SIGSTOP for a daemon.
    Stop(usize),
    /// SIGCONT for a daemon.
    Continue(usize),
    /// The daemon that leads is held up.
    HoldLeader(Hold),
    /// Everything that was held up by [`Act::HoldLeader`] goes on.
    ReleaseLeader,
    /// What the connections of a host do from now on.
    Line { host: usize, server: Server, state: Line },
    /// How an endpoint behaves from now on.
    Endpoint { number: usize, behaviour: Behaviour },
    /// A server ends.
    Down { server: Server, how: Ending },
    /// A server is started again.
    Up,
    /// The database becomes a read-only standby, as after a failover to another machine.
    Demote,
    /// And a primary again.
    Promote,
    /// `indexer backfill` or `replay` over a part of the final blocks, in thousandths.
    Tool { tool: Tool, from: u64, to: u64 },
    /// SIGKILL for the newest tool.
    KillTool,
    /// SIGSTOP for the newest tool.
    StopTool,
    /// SIGCONT for every tool.
    ContinueTools,
    /// An edit of the registry.
    Edit(Edit),
}

/// How a leader is held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Hold {
    /// SIGSTOP.
    Whole,
    /// What it writes to the archive is on its way.
    Archive,
    /// What it writes to the database is.
    Database,
}

/// A server the program uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Server {
    Database,
    Archive,
    Broker,
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ending {
    /// Asked to.
    Asked,
    /// At once.
    Killed,
}

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Line {
    Whole,
    Cut,
    Held,
    Dripping,
}

/// How an endpoint behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Behaviour {
    Honest,
    /// Every answer takes its time.
    Slow,
    /// Many requests fail, in all ways.
    Failing,
    /// Requests are not answered.
    Silent,
    /// Its machine is gone.
    Gone,
    /// Answers come a few bytes at a time.
    Dripping,
    /// Logs and receipts are left out or altered.
    LyingLogs,
    /// Blocks have other hashes or parents, or are denied.
    LyingBlocks,
    /// Some blocks behind the others.
    Behind,
    /// Stays on the branch of now, and lets it grow alone.
    OldBranch,
    /// Has no `eth_getBlockReceipts`.
    WithoutReceipts,
}

/// A command beside the daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Tool {
    Backfill,
    Replay,
}

/// An edit of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Edit {
    Enable(bool),
    Activate { endpoint: usize, active: bool },
    AddEndpoint,
    RemoveEndpoint,
    AddContract,
    RemoveContract,
    Interval(u64),
}

/// Daemons.
pub(crate) const DAEMONS: usize = 2;
/// Endpoints.
pub(crate) const ENDPOINTS: usize = 3;
/// Hosts with connections of their own: the daemons and the one that tools run on.
pub(crate) const HOSTS: usize = DAEMONS + 1;
/// The deepest reorg of all.
const DEEPEST: u64 = 500;

impl Plan {
    /// The plan of `seed`.
    pub(crate) fn draw(seed: u64) -> Plan {
        let mut dice = dice(seed);
        let deep = dice.random_bool(0.25);
        let finalized_depth = if deep {
            DEEPEST + 10
        } else {
            *[8, 24, 64, 150].choose(&mut dice).expect("there are some")
        };
        let lies = dice.random_bool(0.5);
        let mut plan = Plan {
            seed,
            blocks: if deep {
                dice.random_range(560..640)
            } else {
                dice.random_range(20..260)
            },
            finalized_depth,
            archived_in_mongo: dice.random_bool(0.7),
            lease_ttl_ms: dice.random_range(1_000..4_000),
            integrity_backfill: if lies || dice.random_bool(0.5) {
                "receipts"
            } else {
                "bloom"
            }
            .to_owned(),
            acts: Vec::new(),
        };
        // Each schedule leans to some kinds of trouble and leaves others out: a fault shows best where little else goes wrong beside it.
        let mind = Mind::draw(&mut dice, lies);
        let length_ms = dice.random_range(6_000..18_000);
        let mut at_ms = dice.random_range(0..2_500);
        while at_ms < length_ms {
            plan.trouble(&mut dice, &mind, at_ms);
            at_ms += dice.random_range(20..700);
        }
        plan.acts.sort_by_key(|timed| timed.at_ms);
        plan
    }

    /// One line of JSON.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("a plan is plain data")
    }

    /// How many acts of the plan are such.
    pub(crate) fn count(&self, such: impl Fn(&Act) -> bool) -> u64 {
        self.acts.iter().filter(|timed| such(&timed.act)).count() as u64
    }

    fn trouble(&mut self, dice: &mut Dice, mind: &Mind, at_ms: u64) {
        let kinds = [
            (30, Kind::Grow),
            (18, Kind::Reorg),
            (mind.daemons, Kind::Daemon),
            (mind.lines, Kind::Line),
            (mind.endpoints, Kind::Endpoint),
            (mind.servers, Kind::Server),
            (mind.tools, Kind::Tool),
            (4, Kind::Edit),
            (mind.late, Kind::LateLeader),
            (mind.late / 2, Kind::LatePublisher),
            (mind.old_branches, Kind::OldBranch),
        ];
        let kind = kinds.choose_weighted(dice, |(weight, _)| *weight);
        match kind.expect("something has a weight").1 {
            Kind::Grow => {
                let blocks = if dice.random_bool(0.1) {
                    dice.random_range(20..300)
                } else {
                    dice.random_range(1..8)
                };
                self.act(at_ms, Act::Grow(blocks));
            }
            Kind::Reorg => self.reorg(dice, at_ms),
            Kind::Daemon => self.daemon(dice, at_ms),
            Kind::Line => {
                let (host, server) = (dice.random_range(0..HOSTS), server(dice));
                let state = *[Line::Cut, Line::Held, Line::Held, Line::Dripping]
                    .choose(dice)
                    .expect("there are some");
                self.act(at_ms, Act::Line { host, server, state });
                let state = Line::Whole;
                self.act(at_ms + dice.random_range(50..5_000), Act::Line { host, server, state });
            }
            Kind::Endpoint => self.endpoint(dice, mind, at_ms),
            Kind::Server => self.server(dice, at_ms),
            Kind::Tool => self.tool(dice, at_ms),
            Kind::Edit => self.edit(dice, at_ms),
            Kind::LateLeader => self.late_leader(dice, at_ms),
            Kind::LatePublisher => self.late_publisher(dice, at_ms),
            Kind::OldBranch => self.old_branch(dice, mind, at_ms),
        }
    }

    fn act(&mut self, at_ms: u64, act: Act) {
        self.acts.push(Timed { at_ms, act });
    }

    /// The leader is held up in the middle of a step until another one leads, the chain changes under both, and the first goes on.
    fn late_leader(&mut self, dice: &mut Dice, at_ms: u64) {
        for daemon in 0..DAEMONS {
            self.act(at_ms, Act::Start(daemon));
        }
        let hold = *[Hold::Whole, Hold::Archive, Hold::Archive, Hold::Database]
            .choose(dice)
            .expect("there are some");
        let grown = at_ms + 500;
        self.act(grown, Act::Grow(dice.random_range(1..4)));
        let held = match hold {
            // Somewhere between reading the block and committing it.
            Hold::Whole => grown + dice.random_range(0..150),
            Hold::Archive | Hold::Database => grown - 20,
        };
        self.act(held, Act::HoldLeader(hold));
        let led = grown + self.lease_ttl_ms + dice.random_range(1_000..3_000);
        let (depth, blocks) = (dice.random_range(1..7), dice.random_range(6..10));
        self.act(led, Act::Reorg { depth, blocks });
        self.act(led + dice.random_range(500..3_000), Act::ReleaseLeader);
    }

    /// A daemon's messages are held up for longer than its claim to publish lasts, while what they state is undone.
    fn late_publisher(&mut self, dice: &mut Dice, at_ms: u64) {
        for daemon in 0..DAEMONS {
            self.act(at_ms, Act::Start(daemon));
        }
        let (host, server) = (dice.random_range(0..DAEMONS), Server::Broker);
        let line = |state| Act::Line { host, server, state };
        self.act(at_ms + 500, line(Line::Held));
        self.act(at_ms + 550, Act::Grow(dice.random_range(1..6)));
        let claimed = at_ms + dice.random_range(11_000..15_000);
        let (depth, blocks) = (dice.random_range(2..7), dice.random_range(6..10));
        self.act(claimed, Act::Reorg { depth, blocks });
        self.act(claimed + dice.random_range(1_000..5_000), line(Line::Whole));
    }

    /// An endpoint stays on a branch that the chain leaves far behind, where daemons that were away look for their way back.
    fn old_branch(&mut self, dice: &mut Dice, mind: &Mind, at_ms: u64) {
        let number = mind.odd_endpoint;
        let behave = |behaviour| Act::Endpoint { number, behaviour };
        self.act(at_ms, behave(Behaviour::OldBranch));
        let deepest = (self.finalized_depth - 1).min(DEEPEST);
        let depth = dice.random_range(1..=deepest.min(60));
        self.act(at_ms + 300, Act::Grow(dice.random_range(1..6)));
        let away = dice.random_bool(0.7);
        for daemon in (0..DAEMONS).filter(|_| away) {
            self.act(at_ms + 800, Act::Kill(daemon));
            self.act(at_ms + 1_200 + dice.random_range(0..900), Act::Start(daemon));
        }
        self.act(
            at_ms + 900,
            Act::Reorg {
                depth,
                blocks: depth + 1,
            },
        );
        self.act(at_ms + 1_000, Act::Grow(dice.random_range(100..300)));
        self.act(at_ms + dice.random_range(2_500..7_000), behave(Behaviour::Honest));
    }

    fn reorg(&mut self, dice: &mut Dice, at_ms: u64) {
        let deepest = (self.finalized_depth - 1).min(DEEPEST);
        let depth = match dice.random_range(0..10) {
            0..6 => dice.random_range(1..=deepest.min(4)),
            6..9 => dice.random_range(1..=deepest),
            _ => deepest,
        };
        let blocks = if dice.random_bool(0.8) {
            depth + dice.random_range(0..4)
        } else {
            dice.random_range(1..=depth)
        };
        self.act(at_ms, Act::Reorg { depth, blocks });
    }

    fn daemon(&mut self, dice: &mut Dice, at_ms: u64) {
        let number = dice.random_range(0..DAEMONS);
        let (act, back, longest) = match dice.random_range(0..10) {
            0..5 => (Act::Kill(number), Act::Start(number), 2_000),
            5..6 => (Act::Terminate(number), Act::Start(number), 3_000),
            // Longer than a lease lives, often enough.
            _ => (Act::Stop(number), Act::Continue(number), 9_000),
        };
        self.act(at_ms, act);
        self.act(at_ms + dice.random_range(50..longest), back);
    }

    /// One endpoint only ever fails to answer, so that the truth is to be had again soon; another may lie as well, or stand elsewhere.
    fn endpoint(&mut self, dice: &mut Dice, mind: &Mind, at_ms: u64) {
        let number = dice.random_range(0..ENDPOINTS);
        let helpless = [
            Behaviour::Slow,
            Behaviour::Failing,
            Behaviour::Silent,
            Behaviour::Gone,
            Behaviour::Dripping,
            Behaviour::Behind,
        ];
        let wrong = [Behaviour::LyingLogs, Behaviour::LyingBlocks, Behaviour::LyingLogs];
        let behaviour = if number == mind.odd_endpoint && dice.random_bool(0.8) {
            if mind.lies && dice.random_bool(0.6) {
                *wrong.choose(dice).expect("there are some")
            } else if !mind.lies && dice.random_bool(0.2) {
                Behaviour::WithoutReceipts
            } else {
                Behaviour::OldBranch
            }
        } else {
            *helpless.choose(dice).expect("there are some")
        };
        self.act(at_ms, Act::Endpoint { number, behaviour });
        let behaviour = Behaviour::Honest;
        self.act(
            at_ms + dice.random_range(100..7_000),
            Act::Endpoint { number, behaviour },
        );
    }

    fn server(&mut self, dice: &mut Dice, at_ms: u64) {
        if dice.random_bool(0.3) {
            self.act(at_ms, Act::Demote);
            self.act(at_ms + dice.random_range(200..4_000), Act::Promote);
            return;
        }
        let (server, how) = (
            server(dice),
            if dice.random_bool(0.5) {
                Ending::Asked
            } else {
                Ending::Killed
            },
        );
        self.act(at_ms, Act::Down { server, how });
        self.act(at_ms + dice.random_range(0..3_000), Act::Up);
    }

    fn tool(&mut self, dice: &mut Dice, at_ms: u64) {
        let tool = if dice.random_bool(0.5) {
            Tool::Backfill
        } else {
            Tool::Replay
        };
        let (from, to) = (dice.random_range(0..1_000), dice.random_range(0..=1_000));
        let (from, to) = (from.min(to), from.max(to));
        self.act(at_ms, Act::Tool { tool, from, to });
        let later = at_ms + dice.random_range(100..1_500);
        match dice.random_range(0..4) {
            0 => self.act(later, Act::KillTool),
            1 => {
                self.act(later, Act::StopTool);
                self.act(later + dice.random_range(200..8_000), Act::ContinueTools);
            }
            _ => {}
        }
    }

    fn edit(&mut self, dice: &mut Dice, at_ms: u64) {
        let endpoint = dice.random_range(0..ENDPOINTS);
        let (edit, back) = match dice.random_range(0..5) {
            0 => (Edit::Enable(false), Edit::Enable(true)),
            1 => (
                Edit::Activate {
                    endpoint,
                    active: false,
                },
                Edit::Activate { endpoint, active: true },
            ),
            2 => (Edit::AddEndpoint, Edit::RemoveEndpoint),
            3 => (Edit::AddContract, Edit::RemoveContract),
            _ => (Edit::Interval(dice.random_range(20..2_000)), Edit::Interval(50)),
        };
        self.act(at_ms, Act::Edit(edit));
        self.act(at_ms + dice.random_range(200..5_000), Act::Edit(back));
    }
}

/// What a schedule leans to.
struct Mind {
    daemons: u32,
    lines: u32,
    endpoints: u32,
    servers: u32,
    tools: u32,
    late: u32,
    old_branches: u32,
    lies: bool,
    odd_endpoint: usize,
}

impl Mind {
    fn draw(dice: &mut Dice, lies: bool) -> Mind {
        let mut weight = |usual: u32| match dice.random_range(0..4) {
            0 => 0,
            1 => usual * 3,
            _ => usual,
        };
        Mind {
            daemons: weight(10),
            lines: weight(8),
            endpoints: weight(12),
            servers: weight(3),
            tools: weight(8),
            late: weight(6),
            old_branches: weight(3),
            lies,
            odd_endpoint: dice.random_range(0..ENDPOINTS),
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Grow,
    Reorg,
    Daemon,
    Line,
    Endpoint,
    Server,
    Tool,
    Edit,
    LateLeader,
    LatePublisher,
    OldBranch,
}

fn server(dice: &mut Dice) -> Server {
    *[Server::Database, Server::Archive, Server::Broker]
        .choose(dice)
        .expect("there are some")
}

#[test]
fn a_seed_draws_the_same_plan_again_and_a_plan_survives_being_written_down() {
    for seed in 0..50 {
        let plan = Plan::draw(seed);
        assert_eq!(plan, Plan::draw(seed));
        assert_eq!(plan, serde_json::from_str(&plan.json()).unwrap());
        assert!(plan.acts.is_sorted_by_key(|timed| timed.at_ms));
    }
    assert_ne!(Plan::draw(1).acts, Plan::draw(2).acts);
}
