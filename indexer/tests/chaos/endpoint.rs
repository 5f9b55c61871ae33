//! One endpoint of the chain: a node with a picture of its own, behind a wire.

use std::sync::Arc;
use std::time::Duration;

use testchain::faults::{Faults, LogFaults, Settings};
use testchain::ledger::{Finality, Ledger};
use testchain::server::{self, Server};
use testchain::simulation::{Simulation, Step};
use testkit::wire::Wire;

use crate::plan::Behaviour;

/// A node that follows the chain, or stands still on the branch it had.
pub(crate) struct Endpoint {
    ledger: Ledger,
    faults: Arc<Faults>,
    server: Server,
    wire: Wire,
    /// The branch it stays on, while it does.
    alone: Option<Alone>,
    depth: u64,
}

struct Alone {
    simulation: Simulation,
    /// The lowest block that the chain left since; what lies above is no node's finalized block.
    fork: u64,
}

impl Endpoint {
    /// A node that has all of `truth`.
    pub(crate) async fn start(simulation: &Simulation, truth: &Ledger, depth: u64, seed: u64) -> Endpoint {
        let finality = Finality {
            safe_depth: depth / 2,
            finalized_depth: depth,
        };
        let blocks = truth.range(0, u64::MAX).iter().map(|block| (**block).clone()).collect();
        let ledger = Ledger::new(truth.chain_id(), blocks, finality);
        let faults = Faults::new(seed);
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = server::serve_with_state(ledger.clone(), Arc::clone(&faults), listen, simulation.answers())
            .await
            .unwrap();
        let wire = Wire::to(&server.http_url()).await;
        Endpoint {
            ledger,
            faults,
            server,
            wire,
            alone: None,
            depth,
        }
    }

    /// Its URL: every second endpoint is a WebSocket.
    pub(crate) fn url(&self, number: usize) -> String {
        let url = self.server.http_url();
        if number % 2 == 1 {
            self.wire.url(&url).replacen("http", "ws", 1)
        } else {
            self.wire.url(&url)
        }
    }

    /// Requests that failed by a fault so far.
    pub(crate) fn failures(&self) -> u64 {
        self.server.counts().failures
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> u64 {
        let counts = self.server.counts();
        counts.requests + counts.socket_messages
    }

    /// Behaves so from now on.
    pub(crate) fn behave(&mut self, behaviour: Behaviour, simulation: &Simulation, truth: &Ledger) {
        self.alone = None;
        self.wire.restore();
        self.follow(truth);
        self.faults.set(settings(behaviour));
        match behaviour {
            Behaviour::Gone => self.wire.cut(),
            Behaviour::Dripping => self.wire.drip(),
            Behaviour::OldBranch => {
                self.alone = Some(Alone {
                    simulation: simulation.clone(),
                    fork: u64::MAX,
                });
            }
            _ => {}
        }
    }

    /// The chain took a step.
    pub(crate) fn step(&mut self, step: Step, ancestor: u64, truth: &Ledger) {
        let Some(alone) = &mut self.alone else {
            self.follow(truth);
            return;
        };
        match step {
            Step::Reorg { .. } => alone.fork = alone.fork.min(ancestor),
            Step::Advance { blocks } => {
                let height = alone.simulation.height().unwrap_or(0) + blocks;
                // A branch that was left is never final: its node would need the others for that.
                if height.saturating_sub(self.depth) <= alone.fork {
                    alone.simulation.play(step, &self.ledger);
                }
            }
        }
    }

    /// Goes over to the chain's branch.
    fn follow(&self, truth: &Ledger) {
        let (own, head) = (self.ledger.head().unwrap().number, truth.head().unwrap().number);
        let agrees = |height: &u64| {
            let hash = |ledger: &Ledger| ledger.by_number(*height).map(|block| block.hash);
            hash(&self.ledger) == hash(truth)
        };
        let ancestor = (0..=own.min(head)).rev().find(agrees).unwrap();
        let blocks = truth.range(ancestor + 1, head);
        if own > ancestor || !blocks.is_empty() {
            self.ledger
                .reorg(ancestor, blocks.iter().map(|block| (**block).clone()).collect());
        }
    }
}

fn settings(behaviour: Behaviour) -> Settings {
    let default = Settings::default();
    match behaviour {
        Behaviour::Honest | Behaviour::Gone | Behaviour::Dripping | Behaviour::OldBranch => default,
        Behaviour::Slow => Settings {
            latency: Duration::from_millis(300),
            jitter: Duration::from_millis(1_200),
            ..default
        },
        Behaviour::Failing => Settings {
            jitter: Duration::from_millis(30),
            error_rate: 0.1,
            timeout_rate: 0.01,
            too_many_requests_rate: 0.05,
            rate_limit_rate: 0.1,
            server_error_rate: 0.1,
            malformed_rate: 0.1,
            socket_drop_rate: 0.1,
            ..default
        },
        Behaviour::Silent => Settings {
            timeout_rate: 1.0,
            mute_subscriptions: true,
            ..default
        },
        Behaviour::LyingLogs => Settings {
            logs: LogFaults {
                missing_rate: 0.2,
                wrong_rate: 0.2,
            },
            receipts: LogFaults {
                missing_rate: 0.2,
                wrong_rate: 0.2,
            },
            empty_logs_rate: 0.2,
            lie_rate: 0.7,
            ..default
        },
        Behaviour::LyingBlocks => Settings {
            wrong_hash_rate: 0.2,
            wrong_parent_rate: 0.2,
            null_block_rate: 0.2,
            lie_rate: 0.7,
            ..default
        },
        Behaviour::Behind => Settings {
            stale_by: 12,
            ..default
        },
        Behaviour::WithoutReceipts => Settings {
            missing_methods: vec!["eth_getBlockReceipts".to_owned()],
            ..default
        },
    }
}
