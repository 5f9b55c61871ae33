-- Governors, their tokens, and what the chain shows of proposals, votes, power and delegations: facts under their positions, and what is
-- computed from the set of them.
create schema if not exists governance_service;

create table if not exists governance_service.governors (
    chain_id chain_registry_service.caip2_chain not null,
    address chain_registry_service.evm_address not null,
    -- Null while it is not known which contract it is.
    family text constraint governors_family_form check (family ~ '^[a-z][a-z0-9_]{0,49}$'),
    version text,
    name text,
    token chain_registry_service.evm_address,
    timelock chain_registry_service.evm_address,
    -- As the contract answers them (EIP-6372; a query string). Null is block numbers, and bravo counting.
    clock_mode text,
    counting_mode text,
    -- In the governor's clock, but for the last, which is seconds.
    voting_delay numeric(78, 0),
    voting_period numeric(78, 0),
    late_quorum_extension numeric(78, 0),
    grace_period numeric(78, 0),
    proposal_threshold numeric(78, 0),
    quorum_numerator numeric(78, 0),
    quorum_denominator numeric(78, 0),
    super_quorum_numerator numeric(78, 0),
    guardian chain_registry_service.evm_address,
    vetoer chain_registry_service.evm_address,
    -- Null for a candidate; a rejected one stays, so that it is not offered again.
    approved boolean,
    -- What speaks for a candidate: interfaces, answers, counts of proposals and voters.
    evidence jsonb not null default '{}' constraint governors_evidence_object check (jsonb_typeof(evidence) = 'object'),
    -- Position of the first log.
    first_seen uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (chain_id, address)
);
create index if not exists governors_candidates on governance_service.governors (chain_id, first_seen) where approved is null;
create index if not exists governors_token on governance_service.governors (chain_id, token) where token is not null;
create index if not exists governors_timelock on governance_service.governors (chain_id, timelock) where timelock is not null;

-- Tokens that carry votes. Anyone may take a symbol: it is unique among the approved ones of a chain.
create table if not exists governance_service.tokens (
    -- UUIDv5 of chain and address, so no writer looks it up.
    id uuid primary key,
    chain_id chain_registry_service.caip2_chain not null,
    contract_address chain_registry_service.evm_address not null,
    symbol text,
    name text,
    decimals integer constraint tokens_decimals_known check (decimals between 0 and 77),
    -- In the smallest unit: minted less burned, or as the contract answers.
    total_supply numeric,
    -- Null unless an operator states it: no fact of the chain.
    circulating_supply numeric constraint tokens_circulating_supply_positive check (circulating_supply >= 0),
    description text,
    image_url text,
    is_active boolean not null default true,
    -- Null while no one has decided.
    approved boolean,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint tokens_contract_address_key unique (contract_address, chain_id)
);
create unique index if not exists tokens_symbol_approved on governance_service.tokens (symbol, chain_id) where approved;
create index if not exists tokens_symbol on governance_service.tokens (symbol);
create index if not exists tokens_created_at on governance_service.tokens (created_at);

-- What a log shows of a proposal. A fact may be applied before the proposal it is about, so it refers to none.
create table if not exists governance_service.proposal_facts (
    id uuid primary key,
    chain_id chain_registry_service.caip2_chain not null,
    -- UUIDv5 of chain, governor and number.
    proposal_id uuid not null,
    kind text not null
        constraint proposal_facts_kind_known
        check (kind in ('created', 'updated', 'extended', 'objection', 'activated', 'queued', 'executed', 'canceled', 'vetoed', 'failed',
                        'timelock_scheduled', 'timelock_executed', 'timelock_canceled')),
    -- The contract that emitted it: a governor or a timelock.
    contract chain_registry_service.evm_address not null,
    -- As the governor counts: decimal, or 0x text of 32 bytes.
    proposal_number text collate "C",
    proposer chain_registry_service.evm_address,
    -- In the governor's clock; `eta` in seconds.
    voting_starts numeric(78, 0),
    voting_ends numeric(78, 0),
    eta numeric(78, 0),
    threshold numeric(78, 0),
    quorum numeric(78, 0),
    -- Of a timelock.
    operation_id chain_registry_service.evm_tx_hash,
    -- Of created and updated: text that is valid UTF-8, cut at 256 KiB, and the hash of the whole.
    description text,
    description_hash chain_registry_service.evm_tx_hash,
    block_number bigint not null,
    block_hash chain_registry_service.evm_tx_hash not null,
    block_time timestamptz not null,
    tx_hash chain_registry_service.evm_tx_hash not null,
    log_index integer not null,
    item integer not null default 0
);
create index if not exists proposal_facts_chain on governance_service.proposal_facts (chain_id, id);
create index if not exists proposal_facts_proposal on governance_service.proposal_facts (proposal_id, id);
create index if not exists proposal_facts_operation on governance_service.proposal_facts (chain_id, operation_id)
    where operation_id is not null;

-- What a proposal would do, per revision: the newest created or updated fact has those in force.
create table if not exists governance_service.proposal_actions (
    chain_id chain_registry_service.caip2_chain not null,
    proposal_id uuid not null,
    -- proposal_facts.id of the revision.
    revision uuid not null,
    position integer not null constraint proposal_actions_position_positive check (position >= 0),
    target chain_registry_service.evm_address not null,
    value numeric(78, 0) not null constraint proposal_actions_value_positive check (value >= 0),
    -- Empty where the selector stands in the calldata.
    signature text not null default '',
    calldata bytea not null,
    -- By a stored ABI; null where none is known.
    decoded jsonb,
    -- Of the timelock, by the rule of either version.
    operation_ids text[] not null default '{}',
    primary key (revision, position)
);
create index if not exists proposal_actions_proposal on governance_service.proposal_actions (proposal_id, revision);
create index if not exists proposal_actions_operations on governance_service.proposal_actions using gin (operation_ids);

create table if not exists governance_service.delegation_facts (
    id uuid primary key,
    chain_id chain_registry_service.caip2_chain not null,
    -- tokens.id.
    token_id uuid not null,
    delegator chain_registry_service.evm_address not null,
    from_delegate chain_registry_service.evm_address not null,
    to_delegate chain_registry_service.evm_address not null,
    block_number bigint not null,
    block_hash chain_registry_service.evm_tx_hash not null,
    block_time timestamptz not null,
    tx_hash chain_registry_service.evm_tx_hash not null,
    log_index integer not null,
    item integer not null default 0
);
create index if not exists delegation_facts_chain on governance_service.delegation_facts (chain_id, id);
create index if not exists delegation_facts_delegator on governance_service.delegation_facts (token_id, delegator, id desc);
create index if not exists delegation_facts_delegate on governance_service.delegation_facts (token_id, to_delegate, id desc);

-- Absolute: power is `new_power` from here on.
create table if not exists governance_service.power_facts (
    id uuid primary key,
    chain_id chain_registry_service.caip2_chain not null,
    token_id uuid not null,
    delegate chain_registry_service.evm_address not null,
    previous_power numeric(78, 0) not null,
    new_power numeric(78, 0) not null,
    block_number bigint not null,
    block_hash chain_registry_service.evm_tx_hash not null,
    block_time timestamptz not null,
    tx_hash chain_registry_service.evm_tx_hash not null,
    log_index integer not null,
    item integer not null default 0
);
create index if not exists power_facts_chain on governance_service.power_facts (chain_id, id);
create index if not exists power_facts_delegate on governance_service.power_facts (token_id, delegate, id desc);

-- What an account has of a token.
create table if not exists governance_service.token_accounts (
    token_id uuid not null references governance_service.tokens (id) on delete restrict,
    account chain_registry_service.evm_address not null,
    -- Received less sent; negative while the token's history is not covered.
    balance numeric not null default 0,
    -- `to_delegate` of the newest delegation.
    delegate chain_registry_service.evm_address,
    -- `new_power` of the newest power fact, and its id; null where none is known.
    voting_power numeric(78, 0),
    power_position uuid,
    delegators_count integer not null default 0 constraint token_accounts_delegators_count_positive check (delegators_count >= 0),
    -- Whether a power fact did not follow from the one before it.
    unproven boolean not null default false,
    last_updated timestamptz not null default now(),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (token_id, account)
);
create index if not exists token_accounts_account on governance_service.token_accounts (account);
create index if not exists token_accounts_power on governance_service.token_accounts (voting_power desc);
create index if not exists token_accounts_token_power on governance_service.token_accounts (token_id, voting_power desc);
create index if not exists token_accounts_delegate on governance_service.token_accounts (token_id, delegate) where delegate is not null;
create index if not exists token_accounts_created_at on governance_service.token_accounts (created_at);

-- One row per proposal, and per draft, which has no chain: what the facts decide. What only the clock decides is computed when it is read.
create table if not exists governance_service.proposal_states (
    id uuid primary key,
    chain_id chain_registry_service.caip2_chain,
    governor chain_registry_service.evm_address,
    proposal_number text collate "C",
    proposer chain_registry_service.evm_address,
    -- Of drafts: the user who wrote it, and the proposal it became.
    author_id uuid references user_service.users (user_id) on delete set null,
    onchain_id uuid,
    type text not null default 'on_chain' constraint proposal_states_type_form check (type ~ '^[a-z][a-z0-9_]{0,49}$'),
    -- `pending` where nothing but the clock and the votes decide; the words that facts decide otherwise.
    status text not null default 'pending'
        constraint proposal_states_status_known
        check (status in ('draft', 'pending', 'active', 'passed', 'queued', 'executed', 'rejected', 'expired', 'canceled', 'vetoed')),
    -- Name of the state as the contract has it, where it was asked.
    state_name text,
    settled boolean not null default false,
    -- proposal_facts.id of the newest created or updated.
    revision uuid,
    title text constraint proposal_states_title_length check (char_length(title) <= 200),
    description text,
    description_hash chain_registry_service.evm_tx_hash,
    metadata jsonb not null default '{}' constraint proposal_states_metadata_object check (jsonb_typeof(metadata) = 'object'),
    -- In the governor's clock, and as times: exact for a clock of seconds and for blocks that exist, else estimated.
    starts numeric(78, 0),
    ends numeric(78, 0),
    voting_start timestamptz,
    voting_end timestamptz,
    estimated boolean not null default false,
    eta numeric(78, 0),
    -- proposal_facts.id of what moved it.
    created_by uuid,
    queued_by uuid,
    executed_by uuid,
    canceled_by uuid,
    vetoed_by uuid,
    -- In the smallest unit, and the height it was read at.
    quorum numeric(78, 0) constraint proposal_states_quorum_positive check (quorum >= 0),
    quorum_block bigint,
    -- Share of yes among yes and no that is to be exceeded.
    approval_threshold numeric not null default 0.5
        constraint proposal_states_approval_threshold_share check (approval_threshold between 0 and 1),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint proposal_states_place_whole check ((chain_id is null) = (governor is null) and (chain_id is null) = (proposal_number is null)),
    constraint proposal_states_number_once unique (chain_id, governor, proposal_number)
);
create index if not exists proposal_states_governor on governance_service.proposal_states (chain_id, governor, id desc);
create index if not exists proposal_states_proposer on governance_service.proposal_states (proposer) where proposer is not null;
create index if not exists proposal_states_author on governance_service.proposal_states (author_id) where author_id is not null;
create index if not exists proposal_states_settled on governance_service.proposal_states (settled, chain_id);
create index if not exists proposal_states_voting_start on governance_service.proposal_states (voting_start);
create index if not exists proposal_states_voting_end on governance_service.proposal_states (voting_end);
create index if not exists proposal_states_created_at on governance_service.proposal_states (created_at);
create index if not exists proposal_states_metadata on governance_service.proposal_states using gin (metadata jsonb_path_ops);

-- Sums of what the votes add, in the smallest unit. Unbounded: an override may take away before the vote it takes from is known.
create table if not exists governance_service.proposal_tallies (
    chain_id chain_registry_service.caip2_chain,
    proposal_id uuid primary key,
    yes_votes numeric not null default 0,
    no_votes numeric not null default 0,
    abstain_votes numeric not null default 0,
    -- Of contracts that count by a rule of their own.
    other_votes numeric not null default 0,
    voters_count integer not null default 0 constraint proposal_tallies_voters_count_positive check (voters_count >= 0),
    updated_at timestamptz not null default now()
);

create or replace trigger governors_touch before update on governance_service.governors
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger tokens_touch before update on governance_service.tokens
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger token_accounts_touch before update on governance_service.token_accounts
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger proposal_states_touch before update on governance_service.proposal_states
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger proposal_tallies_touch before update on governance_service.proposal_tallies
    for each row execute function chain_registry_service.touch_updated_at();
