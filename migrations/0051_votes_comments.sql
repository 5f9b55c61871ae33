-- Votes and comments, spread over sixteen partitions by proposal: what is read together lies together. The number never changes, because
-- rows would have to move.

-- Votes of the chain are facts: they refer to no proposal, since one may be applied before the proposal it is for, and have no time of
-- change. Off-chain votes are of users.
create table if not exists governance_service.votes (
    proposal_id uuid not null,
    -- Position of the log, so that a repeat is not counted twice.
    id uuid not null default gen_random_uuid(),
    kind text not null
        constraint votes_kind_known check (kind in ('cast', 'params', 'override', 'reduced', 'off_chain')),
    chain_id chain_registry_service.caip2_chain,
    governor chain_registry_service.evm_address,
    voter chain_registry_service.evm_address,
    voter_id uuid references user_service.users (user_id) on delete set null,
    -- As emitted; `vote_type` is null where a contract counts by a rule of its own.
    support numeric(78, 0),
    vote_type text constraint votes_vote_type_known check (vote_type in ('yes', 'no', 'abstain')),
    -- What it adds to the tally; negative for what an override takes away.
    voting_power numeric not null,
    -- As emitted, and its parts where a vote is split.
    weight numeric(78, 0),
    yes_power numeric not null default 0,
    no_power numeric not null default 0,
    abstain_power numeric not null default 0,
    reason text,
    params bytea,
    block_number bigint,
    block_hash chain_registry_service.evm_tx_hash,
    tx_hash chain_registry_service.evm_tx_hash,
    log_index integer,
    item integer,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint votes_pkey primary key (proposal_id, id),
    constraint votes_place_given check (
        case when kind = 'off_chain' then chain_id is null and block_number is null
             else chain_id is not null and governor is not null and voter is not null and voter_id is null
                  and block_number is not null and block_hash is not null and tx_hash is not null and log_index is not null end
    )
) partition by hash (proposal_id);

-- The key of a partition is part of every key, so a reply names the proposal of what it replies to, which is its own.
create table if not exists governance_service.comments (
    proposal_id uuid not null references governance_service.proposal_states (id) on delete cascade,
    id uuid not null default gen_random_uuid(),
    -- Null when the user goes: the thread stays.
    user_id uuid references user_service.users (user_id) on delete set null,
    parent_id uuid,
    content text not null constraint comments_content_length check (char_length(content) between 1 and 10000),
    likes integer not null default 0 constraint comments_likes_positive check (likes >= 0),
    dislikes integer not null default 0 constraint comments_dislikes_positive check (dislikes >= 0),
    is_deleted boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint comments_pkey primary key (proposal_id, id),
    constraint comments_parent_id_not_self check (parent_id <> id),
    constraint comments_parent_id_fkey foreign key (proposal_id, parent_id)
        references governance_service.comments (proposal_id, id) on delete cascade
) partition by hash (proposal_id);

do $$
declare
    part text;
begin
    for remainder in 0..15 loop
        part := to_char(remainder, '"_"FM00');
        execute format('create table if not exists governance_service.%I partition of governance_service.votes
                        for values with (modulus 16, remainder %s)', 'votes' || part, remainder);
        execute format('create table if not exists governance_service.%I partition of governance_service.comments
                        for values with (modulus 16, remainder %s)', 'comments' || part, remainder);
        -- A refusal names the index of the partition, which so names the rule.
        execute format('create unique index if not exists %I on governance_service.%I (proposal_id, voter_id) where kind = %L',
                       'votes_off_chain_once' || part, 'votes' || part, 'off_chain');
    end loop;
end
$$;

-- On chain a voter may vote in parts; off chain once.
create unique index if not exists votes_off_chain_once on governance_service.votes (proposal_id, voter_id) where kind = 'off_chain';
create index if not exists votes_proposal_voter on governance_service.votes (proposal_id, voter);
create index if not exists votes_proposal_power on governance_service.votes (proposal_id, voting_power desc);
create index if not exists votes_voter on governance_service.votes (voter, id desc);
create index if not exists votes_voter_id on governance_service.votes (voter_id) where voter_id is not null;
create index if not exists votes_chain on governance_service.votes (chain_id, id);
create index if not exists votes_created_at on governance_service.votes (created_at);
create index if not exists comments_proposal on governance_service.comments (proposal_id, created_at);
create index if not exists comments_user on governance_service.comments (user_id) where user_id is not null;
create index if not exists comments_parent on governance_service.comments (parent_id, proposal_id) where parent_id is not null;
create index if not exists comments_created_at on governance_service.comments (created_at);

create or replace trigger comments_touch before update on governance_service.comments
    for each row execute function chain_registry_service.touch_updated_at();
