-- A good row of every table that people and other services write: what a refusal is tried against. Alice has everything, Bob little.
insert into user_service.users (user_id) values ('00000000-0000-4000-8000-00000000000a'), ('00000000-0000-4000-8000-00000000000b');
update user_service.profiles set username = 'Alice_1', display_name = 'Alice', bio = repeat('é', 500),
    socials_json = '{"twitter": "alice", "website": "https://alice.example"}'
where user_id = '00000000-0000-4000-8000-00000000000a';
insert into user_service.user_follows (follower_id, following_id)
values ('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000b');
insert into user_service.diaries (id, user_id, title)
values ('d1000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a', 'A day');
insert into user_service.referral_codes (code, user_id, max_uses) values ('ALICE-1', '00000000-0000-4000-8000-00000000000a', 1), ('SHUT', null, null);
update user_service.referral_codes set active = false where code = 'SHUT';
insert into user_service.referrals (referral_code_id, referred_user_id)
select id, '00000000-0000-4000-8000-00000000000b' from user_service.referral_codes where code = 'ALICE-1';
insert into user_service.account_stats (chain_id, account, currency, sales)
values ('eip155:1', '\xaa00000000000000000000000000000000000001', '\x0000000000000000000000000000000000000000', 1);

insert into wallet_service.wallet_links (wallet_id, user_id, account_id, address, chain_id, is_primary, verified_at)
values ('a1000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a',
        'eip155:1:0xaa00000000000000000000000000000000000001', '0xaa00000000000000000000000000000000000001', 'eip155:1', true, now()),
       ('a1000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-00000000000a',
        'eip155:10:0xaa00000000000000000000000000000000000001', '0xaa00000000000000000000000000000000000001', 'eip155:10', false, null);
insert into wallet_service.wallet_activity (wallet_id, user_id, action)
values ('a1000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a', 'linked');
insert into wallet_service.wallet_verifications (wallet_id, verification_type)
values ('a1000000-0000-4000-8000-000000000001', 'signature');

insert into auth_service.credentials (user_id, email, verification_token_hash)
values ('00000000-0000-4000-8000-00000000000a', 'alice@example.org', repeat('1', 64));
insert into auth_service.access_codes (code, redeemed, redeemed_by, redeemed_at)
values ('OPEN', false, null, null), ('TAKEN', true, '00000000-0000-4000-8000-00000000000a', now());
insert into auth_service.service_tokens (name, token_hash, scopes, created_by)
values ('gateway', repeat('a', 64), '{read:public}', '00000000-0000-4000-8000-00000000000a');
insert into auth_service.auth_nonces (nonce, account_id, domain, chain_id, expires_at)
values (repeat('0a', 16), '0xaa00000000000000000000000000000000000001', 'example.org', 'eip155:1', now() + interval '10 minutes');
insert into auth_service.user_devices (id, user_id, fingerprint_hash)
values ('de000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a', 'f1');
insert into auth_service.sessions (session_id, user_id, wallet_id, device_id, token_hash, refresh_hash, expires_at)
values ('5e000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a', 'a1000000-0000-4000-8000-000000000001',
        'de000000-0000-4000-8000-000000000001', repeat('b', 64), repeat('c', 64), now() + interval '15 minutes');
insert into auth_service.refresh_tokens (id, session_id, user_id, family_id, token_hash, parent_id, expires_at)
values ('fe000000-0000-4000-8000-000000000001', '5e000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a',
        'fa000000-0000-4000-8000-000000000001', repeat('d', 64), null, now() + interval '30 days'),
       ('fe000000-0000-4000-8000-000000000002', '5e000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a',
        'fa000000-0000-4000-8000-000000000001', repeat('e', 64), 'fe000000-0000-4000-8000-000000000001', now() + interval '30 days');
insert into auth_service.login_events (user_id, account_id, result)
values ('00000000-0000-4000-8000-00000000000a', '0xaa00000000000000000000000000000000000001', 'success');

insert into orchestrator_service.tx_intents (intent_id, kind, chain_id, created_by)
values ('11000000-0000-4000-8000-000000000001', 'collection', 'eip155:1', '00000000-0000-4000-8000-00000000000a');
insert into orchestrator_service.session_intent_audit (session_id, intent_id, user_id)
values ('s', '11000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a');
insert into orchestrator_service.minting_queue_items (id, user_id, wallet_address, intent_id, chain_id, contract_address)
values ('31000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a', '0xaa00000000000000000000000000000000000001',
        '11000000-0000-4000-8000-000000000001', 'eip155:1', '0xcc00000000000000000000000000000000000001');
insert into catalog_service.collection_drafts (intent_id, user_id, slug, name, chain_id)
values ('11000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a', 'first-one', 'First', 'eip155:1');

insert into platform_service.notifications (user_id, type, title) values ('00000000-0000-4000-8000-00000000000a', 'item_sold', 'Sold');
insert into platform_service.transactions (user_id, type, amount, currency)
values ('00000000-0000-4000-8000-00000000000b', 'deposit', 1.5, 'USD');
insert into platform_service.audit_logs (user_id, action, resource_type) values ('00000000-0000-4000-8000-00000000000a', 'update', 'settings');
insert into platform_service.settings (key, value, type) values ('site.name', 'x', 'string'), ('limits', '{"a": 1}', 'json');
insert into platform_service.ucie_tokens (coingecko_id, symbol, name) values ('bitcoin', 'btc', 'Bitcoin');
insert into platform_service.ucie_analysis_cache (symbol, analysis_type, data, data_quality_score, expires_at)
values ('btc', 'news', '{}', 100, now() + interval '1 hour');
insert into platform_service.ucie_phase_data (session_id, symbol, phase_number, phase_data) values ('s', 'btc', 4, '{}');
insert into platform_service.ucie_watchlist (user_id, symbol) values ('00000000-0000-4000-8000-00000000000a', 'btc');
insert into platform_service.ucie_alerts (user_id, symbol, alert_type, threshold_value)
values ('00000000-0000-4000-8000-00000000000a', 'btc', 'price_above', 100000);

insert into media_service.media_uploads (file_id, user_id, file_type, ipfs_hash)
values ('file', '00000000-0000-4000-8000-00000000000a', 'image/png', 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG');
insert into media_service.processing_jobs (job_id, file_id, operations) values ('job', 'file', '["thumbnail"]');

insert into governance_service.governors (chain_id, address) values ('eip155:1', '0xdd00000000000000000000000000000000000001');
insert into governance_service.tokens (id, chain_id, contract_address, symbol, approved)
values ('70000000-0000-4000-8000-000000000001', 'eip155:1', '0xee00000000000000000000000000000000000001', 'GOV', true),
       ('70000000-0000-4000-8000-000000000002', 'eip155:1', '0xee00000000000000000000000000000000000002', 'GOV', null);
insert into governance_service.token_accounts (token_id, account, balance)
values ('70000000-0000-4000-8000-000000000001', '0xaa00000000000000000000000000000000000001', -1);
insert into governance_service.proposal_states (id, chain_id, governor, proposal_number, proposer)
values ('90000000-0000-4000-8000-000000000001', 'eip155:1', '0xdd00000000000000000000000000000000000001', '1',
        '0xaa00000000000000000000000000000000000001');
insert into governance_service.proposal_states (id, author_id, type, status)
values ('90000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-00000000000a', 'poll', 'draft');
insert into governance_service.proposal_tallies (chain_id, proposal_id) values ('eip155:1', '90000000-0000-4000-8000-000000000001');
insert into governance_service.proposal_facts
    (id, chain_id, proposal_id, kind, contract, block_number, block_hash, block_time, tx_hash, log_index)
values ('80000000-0000-4000-8000-000000000001', 'eip155:1', '90000000-0000-4000-8000-000000000001', 'created',
        '0xdd00000000000000000000000000000000000001', 1, '0x' || repeat('1', 64), now(), '0x' || repeat('2', 64), 0);
insert into governance_service.proposal_actions (chain_id, proposal_id, revision, position, target, value, calldata)
values ('eip155:1', '90000000-0000-4000-8000-000000000001', '80000000-0000-4000-8000-000000000001', 0,
        '0xdd00000000000000000000000000000000000001', 0, '\x');
insert into governance_service.votes (proposal_id, id, kind, voter_id, vote_type, voting_power)
values ('90000000-0000-4000-8000-000000000002', '60000000-0000-4000-8000-000000000001', 'off_chain',
        '00000000-0000-4000-8000-00000000000a', 'yes', 1);
insert into governance_service.comments (proposal_id, id, user_id, parent_id, content)
values ('90000000-0000-4000-8000-000000000002', 'c0000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a', null, 'Yes'),
       ('90000000-0000-4000-8000-000000000002', 'c0000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-00000000000b',
        'c0000000-0000-4000-8000-000000000001', 'No');
