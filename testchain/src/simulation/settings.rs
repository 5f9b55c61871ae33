//! How dense, how large and how mixed the simulated traffic is.

use std::ops::RangeInclusive;

/// Everything a simulated chain is made from. Equal settings make equal chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where all chance comes from.
    pub seed: u64,
    /// EIP-155 number. Contracts of before the standards (CryptoKitties, Cryptovoxels, CryptoPunks) live on chain 1 only.
    pub chain_id: u64,
    /// Height of the first block. A block at height zero holds no transactions.
    pub start_block: u64,
    /// Timestamp of the first block, seconds since the Unix epoch.
    pub start_time: u64,
    /// Seconds between blocks.
    pub block_time: u64,
    /// Mean number of logs in a block.
    pub logs_per_block: u32,
    /// Blocks without a log, of a hundred.
    pub empty_percent: u32,
    /// Accounts that hold and send.
    pub owners: u32,
    /// Accounts that hold tokens of one ERC-1155 contract; few make rich portfolios, and those large batches.
    pub circle: u32,
    /// ERC-721 contracts.
    pub erc721_contracts: u32,
    /// ERC-1155 contracts.
    pub erc1155_contracts: u32,
    /// ERC-20 contracts.
    pub erc20_contracts: u32,
    /// Mean number of trades in a block that is not empty: each is a transaction of its own, beside the logs counted above.
    /// The markets are those of chain 1; on another chain they trade at the same addresses, which mean nothing there. Zero
    /// for a chain without markets, on which [`Simulation::answers`](super::Simulation::answers) knows nothing.
    pub trades_per_block: u32,
    /// Which logs, in which proportion.
    pub mix: Mix,
    /// How often a token is new.
    pub births: Births,
    /// Items in one ERC-1155 batch.
    pub batch_items: RangeInclusive<u32>,
    /// Tokens in one ERC-2309 range.
    pub range_tokens: RangeInclusive<u32>,
}

/// Relative weights of what is emitted next; one unit of each emits one log, CryptoPunks up to three. On a chain with markets
/// punks are sold there only, and by weight just given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// ERC-721 `Transfer`, three indexed arguments.
    pub erc721: u32,
    /// `Transfer` of contracts that do not index the token; counts as `erc721` off chain 1.
    pub erc721_legacy: u32,
    /// CryptoPunks; counts as `erc721` off chain 1.
    pub cryptopunks: u32,
    /// ERC-2309 `ConsecutiveTransfer`.
    pub erc2309: u32,
    /// ERC-1155 `TransferSingle`.
    pub erc1155_single: u32,
    /// ERC-1155 `TransferBatch`.
    pub erc1155_batch: u32,
    /// ERC-20 `Transfer`, on the topic of ERC-721.
    pub erc20: u32,
    /// Approvals of all three standards.
    pub approval: u32,
    /// Logs that look like NFT events and are malformed.
    pub hostile: u32,
}

/// Logs that mint tokens never seen before, of a thousand logs of their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Births {
    /// Of ERC-721 transfers, at most 900.
    pub single_owner: u32,
    /// Of ERC-1155 single transfers, at most 800.
    pub erc1155_single: u32,
    /// Of ERC-1155 batches, at most 900.
    pub erc1155_batch: u32,
}

impl Settings {
    /// A small, lively chain with every layout, for tests: about a dozen logs a block among a few accounts.
    pub fn small(seed: u64) -> Self {
        Settings {
            seed,
            chain_id: 1,
            start_block: 0,
            start_time: 1_700_000_000,
            block_time: 12,
            logs_per_block: 12,
            empty_percent: 10,
            owners: 24,
            circle: 8,
            erc721_contracts: 3,
            erc1155_contracts: 2,
            erc20_contracts: 2,
            trades_per_block: 0,
            mix: Mix::EVERYTHING,
            births: Births {
                single_owner: 250,
                erc1155_single: 150,
                erc1155_batch: 200,
            },
            batch_items: 1..=5,
            range_tokens: 1..=12,
        }
    }

    /// The small chain with markets: every market trades every few blocks, and what is for sale is now and then given away.
    pub fn market(seed: u64) -> Self {
        Settings {
            owners: 40,
            erc721_contracts: 4,
            erc1155_contracts: 3,
            trades_per_block: 4,
            mix: Mix {
                erc2309: 5,
                ..Mix::EVERYTHING
            },
            births: Births {
                single_owner: 400,
                ..Settings::small(seed).births
            },
            ..Settings::small(seed)
        }
    }

    /// A chain to look at: dozens of contracts, thousands of accounts, no hostile logs.
    pub fn demo(seed: u64) -> Self {
        Settings {
            logs_per_block: 30,
            owners: 5_000,
            circle: 150,
            erc721_contracts: 40,
            erc1155_contracts: 15,
            erc20_contracts: 10,
            mix: Mix {
                hostile: 0,
                ..Mix::EVERYTHING
            },
            range_tokens: 2..=100,
            ..Settings::small(seed)
        }
    }

    /// The workload of the performance figures: in 20,000 blocks 1,000,000 logs, of which 355,000 ERC-721 transfers,
    /// 152,000 ERC-1155 single transfers and 58,000 batches, together 678,000 items over 186,000 tokens.
    pub fn benchmark(seed: u64) -> Self {
        Settings {
            chain_id: 31_337,
            logs_per_block: 50,
            empty_percent: 0,
            owners: 20_000,
            circle: 100,
            erc721_contracts: 100,
            erc1155_contracts: 40,
            erc20_contracts: 50,
            mix: Mix::BENCHMARK,
            births: Births {
                single_owner: 364,
                erc1155_single: 200,
                erc1155_batch: 250,
            },
            ..Settings::small(seed)
        }
    }

    /// Timestamp of the block at `height`, which is the first or above it.
    pub(super) fn time(&self, height: u64) -> u64 {
        self.start_time + (height - self.start_block) * self.block_time
    }
}

impl Mix {
    /// Every layout, the rare ones often enough to meet in a short test.
    pub const EVERYTHING: Mix = Mix {
        erc721: 300,
        erc721_legacy: 80,
        cryptopunks: 40,
        erc2309: 20,
        erc1155_single: 170,
        erc1155_batch: 90,
        erc20: 170,
        approval: 100,
        hostile: 30,
    };

    /// The proportions of the performance figures.
    pub const BENCHMARK: Mix = Mix {
        erc721: 355,
        erc721_legacy: 0,
        cryptopunks: 0,
        erc2309: 0,
        erc1155_single: 152,
        erc1155_batch: 58,
        erc20: 300,
        approval: 135,
        hostile: 0,
    };
}
