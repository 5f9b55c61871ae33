-- The documents' relations over what governance keeps. With the rights of the reader, so that row-level security of wallets holds.

-- `status` is that at the block the checkpoint stands at: facts first, then the clock. A proposal whose voting is over and whose quorum
-- could not be read yet has none.
create or replace view governance_service.proposals with (security_invoker = true) as
    select s.id,
           -- A proposer of the chain is an address; a user only through a verified wallet.
           coalesce(s.author_id, (select w.user_id from wallet_service.wallet_links w
                                  where w.address = s.proposer and w.chain_id = s.chain_id and w.verified_at is not null)) as proposer_id,
           s.title, s.description, s.type,
           case when s.status = 'queued' and stand.seconds >= s.eta + g.grace_period then 'expired'
                when s.status <> 'pending' then s.status
                when not coalesce(stand.clock > s.starts, stand.block_time > s.voting_start, false) then 'pending'
                when not coalesce(stand.clock > s.ends, stand.block_time > s.voting_end, false) then 'active'
                when s.quorum is null then null
                when tally.counted >= s.quorum and tally.yes > s.approval_threshold * (tally.yes + tally.no) then 'passed'
                else 'rejected' end as status,
           s.metadata, s.voting_start, s.voting_end, s.estimated,
           s.quorum as quorum_threshold, s.approval_threshold,
           tally.yes + tally.no + tally.abstain + tally.other as total_votes,
           tally.yes as yes_votes, tally.no as no_votes, tally.abstain as abstain_votes, tally.other as other_votes,
           tally.voters_count, s.created_at, s.updated_at,
           s.chain_id, s.governor, s.proposal_number, s.proposer, s.author_id, s.onchain_id, s.settled, s.starts, s.ends, s.eta,
           s.revision, s.quorum_block, s.state_name
    from governance_service.proposal_states s
    left join governance_service.governors g on g.chain_id = s.chain_id and g.address = s.governor
    left join governance_service.proposal_tallies t on t.proposal_id = s.id
    left join indexer_service.indexer_checkpoints c on c.chain_id = s.chain_id
    left join indexer_service.indexer_blocks b on b.chain_id = c.chain_id and b.number = c.last_block
    cross join lateral (
        select coalesce(t.yes_votes, 0) as yes, coalesce(t.no_votes, 0) as no, coalesce(t.abstain_votes, 0) as abstain,
               coalesce(t.other_votes, 0) as other, coalesce(t.voters_count, 0) as voters_count,
               -- What counts for the quorum: yes alone, unless the counting mode counts abstentions too.
               coalesce(t.yes_votes, 0)
                   + case when g.counting_mode like '%quorum=for,abstain%' then coalesce(t.abstain_votes, 0) else 0 end as counted
    ) tally
    cross join lateral (
        select b.block_time, extract(epoch from b.block_time) as seconds,
               case when g.clock_mode like 'mode=timestamp%' then extract(epoch from b.block_time)
                    when coalesce(g.clock_mode, 'mode=blocknumber&from=default') = 'mode=blocknumber&from=default'
                         then c.last_block::numeric end as clock
    ) stand;

-- Every delegation, and whether it is the newest of its delegator.
create or replace view governance_service.delegations as
    select d.id, d.chain_id, d.token_id, d.delegator, d.from_delegate, d.to_delegate, d.block_time as delegated_at,
           not exists (select from governance_service.delegation_facts later
                       where later.token_id = d.token_id and later.delegator = d.delegator and later.id > d.id) as is_current,
           d.block_number, d.block_hash, d.tx_hash, d.log_index, d.item
    from governance_service.delegation_facts d;

-- Sums over the verified wallets of a user. What is staked is known only where a staking contract is registered, and never guessed.
create or replace view governance_service.user_tokens with (security_invoker = true) as
    select md5(w.user_id::text || a.token_id::text)::uuid as id, w.user_id, a.token_id,
           sum(a.balance) as balance, null::numeric as staked_balance, sum(a.voting_power) as voting_power,
           max(a.last_updated) as last_updated, min(a.created_at) as created_at, max(a.updated_at) as updated_at
    from wallet_service.wallet_links w
    join governance_service.tokens t on t.chain_id = w.chain_id
    join governance_service.token_accounts a on a.token_id = t.id and a.account = w.address
    where w.verified_at is not null
    group by w.user_id, a.token_id;
