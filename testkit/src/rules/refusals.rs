//! What each rule of the schema refuses: the rule's name, and a statement that breaks it and no other, on the rows of `rows.sql`.

/// Alice, who has a row everywhere.
macro_rules! alice {
    () => {
        "'00000000-0000-4000-8000-00000000000a'"
    };
}

/// Bob, who follows no one.
macro_rules! bob {
    () => {
        "'00000000-0000-4000-8000-00000000000b'"
    };
}

/// An address of Alice, linked to her on two chains.
macro_rules! wallet {
    () => {
        "0xaa00000000000000000000000000000000000001"
    };
}

/// Rules of accounts and what they show.
pub(super) const PEOPLE: &[[&str; 2]] = &[
    ["users_status_known", "update user_service.users set status = 'gone'"],
    ["users_role_known", "update user_service.users set role = 'root'"],
    [
        "users_legacy_id_key",
        "insert into user_service.users (legacy_id) overriding system value select legacy_id from user_service.users",
    ],
    [
        "profiles_username_form",
        "update user_service.profiles set username = 'ab'",
    ],
    [
        "profiles_username_form",
        "update user_service.profiles set username = repeat('a', 31)",
    ],
    [
        "profiles_username_form",
        "update user_service.profiles set username = 'no space'",
    ],
    [
        "profiles_username_form",
        "update user_service.profiles set username = E'abc\\n'",
    ],
    [
        "profiles_username_lower",
        concat!(
            "update user_service.profiles set username = 'ALICE_1' where user_id = ",
            bob!()
        ),
    ],
    [
        "profiles_display_name_length",
        "update user_service.profiles set display_name = repeat('x', 51)",
    ],
    [
        "profiles_first_name_length",
        "update user_service.profiles set first_name = repeat('x', 101)",
    ],
    [
        "profiles_last_name_length",
        "update user_service.profiles set last_name = repeat('x', 101)",
    ],
    [
        "profiles_bio_length",
        "update user_service.profiles set bio = repeat('x', 501)",
    ],
    [
        "profiles_avatar_url_length",
        "update user_service.profiles set avatar_url = repeat('x', 2049)",
    ],
    [
        "profiles_banner_url_length",
        "update user_service.profiles set banner_url = repeat('x', 2049)",
    ],
    [
        "profiles_locale_length",
        "update user_service.profiles set locale = repeat('x', 11)",
    ],
    [
        "profiles_timezone_length",
        "update user_service.profiles set timezone = repeat('x', 51)",
    ],
    [
        "profiles_socials_json_object",
        "update user_service.profiles set socials_json = '[]'",
    ],
    [
        "profiles_id_key",
        "update user_service.profiles set id = '00000000-0000-4000-8000-000000000001'",
    ],
    [
        "user_preferences_language_length",
        "update user_service.user_preferences set language = repeat('x', 11)",
    ],
    [
        "user_preferences_currency_length",
        "update user_service.user_preferences set currency = repeat('x', 11)",
    ],
    [
        "user_preferences_theme_known",
        "update user_service.user_preferences set theme = 'pink'",
    ],
    [
        "user_preferences_privacy_level_known",
        "update user_service.user_preferences set privacy_level = 'secret'",
    ],
    [
        "user_preferences_extra_object",
        "update user_service.user_preferences set extra = '1'",
    ],
    [
        "user_counters_followers_count_positive",
        "update user_service.user_counters set followers_count = -1",
    ],
    [
        "user_counters_following_count_positive",
        "update user_service.user_counters set following_count = -1",
    ],
    [
        "user_follows_not_self",
        concat!(
            "insert into user_service.user_follows values (",
            alice!(),
            ", ",
            alice!(),
            ")"
        ),
    ],
    [
        "user_follows_unchanging",
        "update user_service.user_follows set created_at = now()",
    ],
    [
        "user_follows_pkey",
        "insert into user_service.user_follows select * from user_service.user_follows",
    ],
    [
        "user_follows_following_id_fkey",
        concat!(
            "insert into user_service.user_follows values (",
            alice!(),
            ", gen_random_uuid())"
        ),
    ],
    [
        "diaries_title_length",
        "update user_service.diaries set title = repeat('x', 201)",
    ],
    [
        "diaries_visibility_known",
        "update user_service.diaries set visibility = 'friends'",
    ],
    [
        "diaries_legacy_user_id_known",
        "insert into user_service.diaries (legacy_user_id) values (2000000000)",
    ],
    [
        "referral_codes_code_form",
        "insert into user_service.referral_codes (code) values ('lower')",
    ],
    [
        "referral_codes_code_key",
        "insert into user_service.referral_codes (code) values ('SHUT')",
    ],
    [
        "referral_codes_max_uses_positive",
        "update user_service.referral_codes set max_uses = 0 where code = 'SHUT'",
    ],
    [
        "referral_codes_uses_limited",
        "insert into user_service.referrals (referral_code_id) select id from user_service.referral_codes where code = 'ALICE-1'",
    ],
    [
        "referral_codes_open",
        "insert into user_service.referrals (referral_code_id) select id from user_service.referral_codes where code = 'SHUT'",
    ],
    [
        "referrals_not_self",
        concat!(
            "insert into user_service.referrals (referral_code_id, referred_user_id) \
        select id, ",
            alice!(),
            " from user_service.referral_codes where code = 'ALICE-1'"
        ),
    ],
    [
        "referrals_referred_user_id_key",
        concat!(
            "insert into user_service.referrals (referral_code_id, referred_user_id) \
        select id, ",
            bob!(),
            " from user_service.referral_codes where code = 'ALICE-1'"
        ),
    ],
    [
        "referrals_referral_code_id_fkey",
        "insert into user_service.referrals (referral_code_id) values (2000000000)",
    ],
    [
        "referrals_status_known",
        "update user_service.referrals set status = 'paid', qualified_at = now()",
    ],
    [
        "referrals_qualified_at_set",
        "update user_service.referrals set status = 'qualified'",
    ],
];

/// Rules of signing in, and of wallets.
pub(super) const ACCESS: &[[&str; 2]] = &[
    [
        "credentials_email_form",
        "update auth_service.credentials set email = 'Alice@example.org'",
    ],
    [
        "credentials_email_form",
        "update auth_service.credentials set email = ' alice@example.org'",
    ],
    [
        "credentials_email_form",
        "update auth_service.credentials set email = 'alice'",
    ],
    [
        "credentials_email_key",
        concat!(
            "insert into auth_service.credentials (user_id, email) values (",
            bob!(),
            ", 'alice@example.org')"
        ),
    ],
    [
        "credentials_verification_token",
        concat!(
            "insert into auth_service.credentials (user_id, email, verification_token_hash) \
        values (",
            bob!(),
            ", 'bob@example.org', repeat('1', 64))"
        ),
    ],
    [
        "access_codes_code_form",
        "insert into auth_service.access_codes (code) values ('lower')",
    ],
    [
        "access_codes_code_form",
        "insert into auth_service.access_codes (code) values (' SPACE')",
    ],
    [
        "access_codes_code_key",
        "insert into auth_service.access_codes (code) values ('OPEN')",
    ],
    [
        "access_codes_redeemed_consistency",
        concat!(
            "update auth_service.access_codes set redeemed_by = ",
            bob!(),
            " where code = 'OPEN'"
        ),
    ],
    [
        "access_codes_redeemed_consistency",
        concat!(
            "update auth_service.access_codes set redeemed = true, redeemed_by = ",
            bob!(),
            " where code = 'OPEN'"
        ),
    ],
    [
        "access_codes_redeemed_by_given",
        "update auth_service.access_codes set redeemed = true, redeemed_at = now() where code = 'OPEN'",
    ],
    [
        "access_codes_redeemed_once",
        concat!(
            "update auth_service.access_codes set redeemed_by = ",
            bob!(),
            " where code = 'TAKEN'"
        ),
    ],
    [
        "access_codes_redeemed_once",
        "update auth_service.access_codes set redeemed = false, redeemed_by = null, redeemed_at = null where code = 'TAKEN'",
    ],
    [
        "access_codes_redeemed_by",
        concat!(
            "update auth_service.access_codes set redeemed = true, redeemed_at = now(), redeemed_by = ",
            alice!(),
            " \
        where code = 'OPEN'"
        ),
    ],
    [
        "service_tokens_name_length",
        "update auth_service.service_tokens set name = ''",
    ],
    [
        "service_tokens_name_key",
        "insert into auth_service.service_tokens (name, token_hash, scopes) values ('gateway', repeat('b', 64), '{x}')",
    ],
    [
        "service_tokens_token_hash_key",
        "insert into auth_service.service_tokens (name, token_hash, scopes) values ('other', repeat('a', 64), '{x}')",
    ],
    [
        "service_tokens_token_hash_form",
        "update auth_service.service_tokens set token_hash = 'secret'",
    ],
    [
        "service_tokens_scopes_form",
        "update auth_service.service_tokens set scopes = '{}'",
    ],
    [
        "service_tokens_scopes_form",
        "update auth_service.service_tokens set scopes = '{null}'",
    ],
    [
        "service_tokens_expires_at_later",
        "update auth_service.service_tokens set expires_at = created_at",
    ],
    [
        "auth_nonces_nonce_form",
        "update auth_service.auth_nonces set nonce = 'not hexadecimal!'",
    ],
    [
        "auth_nonces_nonce_form",
        "update auth_service.auth_nonces set nonce = 'abcdef'",
    ],
    [
        "auth_nonces_pkey",
        "insert into auth_service.auth_nonces (nonce, account_id, domain, chain_id, expires_at) \
        select nonce, account_id, domain, chain_id, expires_at from auth_service.auth_nonces",
    ],
    [
        "auth_nonces_id_key",
        "insert into auth_service.auth_nonces (nonce, id, account_id, domain, chain_id, expires_at) \
        select repeat('0b', 16), id, account_id, domain, chain_id, expires_at from auth_service.auth_nonces",
    ],
    [
        "auth_nonces_domain_length",
        "update auth_service.auth_nonces set domain = repeat('x', 256)",
    ],
    [
        "auth_nonces_purpose_known",
        "update auth_service.auth_nonces set purpose = 'vote'",
    ],
    [
        "auth_nonces_expires_at_soon",
        "update auth_service.auth_nonces set expires_at = issued_at + interval '10 minutes 1 microsecond'",
    ],
    [
        "auth_nonces_expires_at_soon",
        "update auth_service.auth_nonces set expires_at = issued_at",
    ],
    [
        "auth_nonces_used_at_set",
        "update auth_service.auth_nonces set used = true",
    ],
    [
        "auth_nonces_failures_positive",
        "update auth_service.auth_nonces set failures = -1",
    ],
    [
        "evm_address_form",
        concat!(
            "update auth_service.auth_nonces set account_id = upper('",
            wallet!(),
            "')"
        ),
    ],
    [
        "evm_address_form",
        "update auth_service.auth_nonces set account_id = '0x' || repeat('g', 40)",
    ],
    [
        "caip2_chain_form",
        "update auth_service.auth_nonces set chain_id = 'eip155:one'",
    ],
    [
        "caip2_chain_form",
        "update auth_service.auth_nonces set chain_id = 'eip155:9223372036854775808'",
    ],
    [
        "user_devices_fingerprint_hash_length",
        "update auth_service.user_devices set fingerprint_hash = ''",
    ],
    [
        "user_devices_name_length",
        "update auth_service.user_devices set name = repeat('x', 101)",
    ],
    [
        "user_devices_once_per_user",
        "insert into auth_service.user_devices (user_id, fingerprint_hash) \
        select user_id, fingerprint_hash from auth_service.user_devices",
    ],
    [
        "sessions_token_hash_length",
        "update auth_service.sessions set token_hash = 'short'",
    ],
    [
        "sessions_token_hash_key",
        "insert into auth_service.sessions (user_id, token_hash, expires_at) \
        select user_id, token_hash, expires_at from auth_service.sessions",
    ],
    [
        "sessions_refresh_hash_length",
        "update auth_service.sessions set refresh_hash = 'short'",
    ],
    [
        "sessions_refresh_hash_key",
        "insert into auth_service.sessions (user_id, token_hash, refresh_hash, expires_at) \
        select user_id, repeat('9', 64), refresh_hash, expires_at from auth_service.sessions",
    ],
    [
        "sessions_expires_at_future",
        "update auth_service.sessions set expires_at = created_at",
    ],
    [
        "sessions_revoke_reason_given",
        "update auth_service.sessions set revoke_reason = 'logout'",
    ],
    [
        "sessions_user_id_fkey",
        "update auth_service.sessions set user_id = gen_random_uuid()",
    ],
    [
        "refresh_tokens_token_hash_length",
        "update auth_service.refresh_tokens set token_hash = 'short'",
    ],
    [
        "refresh_tokens_token_hash_key",
        "update auth_service.refresh_tokens set token_hash = repeat('9', 64)",
    ],
    [
        "refresh_tokens_expires_at_later",
        "update auth_service.refresh_tokens set expires_at = issued_at",
    ],
    [
        "refresh_tokens_revoke_reason_given",
        "update auth_service.refresh_tokens set revoke_reason = 'reuse'",
    ],
    [
        "refresh_tokens_parent",
        "insert into auth_service.refresh_tokens (session_id, user_id, family_id, token_hash, parent_id, expires_at) \
        select session_id, user_id, family_id, repeat('9', 64), parent_id, expires_at from auth_service.refresh_tokens where parent_id is not null",
    ],
    [
        "login_events_event_type_valid",
        "update auth_service.login_events set event_type = 'guess'",
    ],
    [
        "login_events_result_known",
        "update auth_service.login_events set result = 'perhaps'",
    ],
    [
        "login_events_domain_length",
        "update auth_service.login_events set domain = repeat('x', 256)",
    ],
    [
        "wallet_links_account_id_matches",
        concat!(
            "update wallet_service.wallet_links set account_id = 'eip155:5:",
            wallet!(),
            "'"
        ),
    ],
    [
        "wallet_links_connector_length",
        "update wallet_service.wallet_links set connector = repeat('x', 51)",
    ],
    [
        "wallet_links_label_length",
        "update wallet_service.wallet_links set label = repeat('x', 101)",
    ],
    [
        "wallet_links_type_known",
        "update wallet_service.wallet_links set type = 'paper'",
    ],
    [
        "wallet_links_once_per_user",
        "insert into wallet_service.wallet_links (user_id, account_id, address, chain_id) \
        select user_id, account_id, address, chain_id from wallet_service.wallet_links",
    ],
    [
        "wallet_links_one_primary",
        "update wallet_service.wallet_links set is_primary = true",
    ],
    [
        "wallet_links_one_owner",
        concat!(
            "insert into wallet_service.wallet_links (user_id, account_id, address, chain_id, verified_at) \
        select ",
            bob!(),
            ", account_id, address, chain_id, now() from wallet_service.wallet_links where is_primary"
        ),
    ],
    [
        "wallet_activity_action_known",
        "update wallet_service.wallet_activity set action = 'lost'",
    ],
    [
        "wallet_activity_metadata_object",
        "update wallet_service.wallet_activity set metadata = '[]'",
    ],
    [
        "wallet_verifications_verification_type_form",
        "update wallet_service.wallet_verifications set verification_type = ''",
    ],
    [
        "wallet_verifications_verification_data_object",
        "update wallet_service.wallet_verifications set verification_data = '[]'",
    ],
    [
        "wallet_verifications_status_known",
        "update wallet_service.wallet_verifications set status = 'open'",
    ],
    [
        "wallet_verifications_verified_at_set",
        "update wallet_service.wallet_verifications set status = 'verified'",
    ],
];

/// Rules of intents, minting, the platform and media.
pub(super) const SERVICES: &[[&str; 2]] = &[
    [
        "tx_intents_kind_form",
        "update orchestrator_service.tx_intents set kind = 'Mint!'",
    ],
    [
        "tx_intents_moves",
        "update orchestrator_service.tx_intents set status = 'replaced'",
    ],
    [
        "tx_intents_moves",
        "insert into orchestrator_service.tx_intents (kind, chain_id, status) values ('mint', 'eip155:1', 'confirmed')",
    ],
    [
        "tx_intents_status_known",
        "alter table orchestrator_service.tx_intents disable trigger tx_intents_moves; \
         update orchestrator_service.tx_intents set status = 'replaced'",
    ],
    [
        "tx_intents_block_given",
        "update orchestrator_service.tx_intents set status = 'ready', tx_hash = '0x' || repeat('1', 64); \
         update orchestrator_service.tx_intents set status = 'submitted'; \
         update orchestrator_service.tx_intents set status = 'confirmed'",
    ],
    [
        "tx_intents_req_payload_json_object",
        "update orchestrator_service.tx_intents set req_payload_json = '[]'",
    ],
    [
        "tx_intents_auth_session_id_length",
        "update orchestrator_service.tx_intents set auth_session_id = repeat('x', 256)",
    ],
    [
        "tx_intents_nonce_whole",
        "update orchestrator_service.tx_intents set nonce = 1.5",
    ],
    [
        "tx_intents_block_number_positive",
        "update orchestrator_service.tx_intents set block_number = -1, block_hash = '0x' || repeat('1', 64)",
    ],
    [
        "tx_intents_block_whole",
        "update orchestrator_service.tx_intents set block_number = 1",
    ],
    [
        "tx_intents_tx_hash_given",
        "insert into orchestrator_service.tx_intents (kind, chain_id, status) values ('mint', 'eip155:1', 'submitted')",
    ],
    [
        "evm_tx_hash_form",
        "update orchestrator_service.tx_intents set tx_hash = '0x' || repeat('z', 64)",
    ],
    [
        "tx_intents_created_by_fkey",
        "update orchestrator_service.tx_intents set created_by = gen_random_uuid()",
    ],
    [
        "session_intent_audit_session_id_length",
        "update orchestrator_service.session_intent_audit set session_id = repeat('x', 256)",
    ],
    [
        "session_intent_audit_audit_data_object",
        "update orchestrator_service.session_intent_audit set audit_data = '[]'",
    ],
    [
        "minting_queue_items_quantity_positive",
        "update orchestrator_service.minting_queue_items set quantity = 0",
    ],
    [
        "minting_queue_items_status_known",
        "update orchestrator_service.minting_queue_items set status = 'lost'",
    ],
    [
        "minting_queue_items_token_numbers_few",
        "update orchestrator_service.minting_queue_items set token_numbers = array_fill('1'::text, array[101])",
    ],
    [
        "minting_queue_items_minted_count_positive",
        "update orchestrator_service.minting_queue_items set minted_count = -1",
    ],
    [
        "minting_queue_items_attempts_positive",
        "update orchestrator_service.minting_queue_items set attempts = -1",
    ],
    [
        "minting_queue_items_tx_hash_given",
        "update orchestrator_service.minting_queue_items set status = 'minted'",
    ],
    [
        "minting_queue_items_legacy_user_id_known",
        "insert into orchestrator_service.minting_queue_items \
        (legacy_user_id, wallet_address, chain_id, contract_address) \
        select 2000000000, wallet_address, chain_id, contract_address from orchestrator_service.minting_queue_items",
    ],
    [
        "collection_drafts_slug_form",
        "update catalog_service.collection_drafts set slug = 'Not a slug'",
    ],
    [
        "collection_drafts_slug_key",
        "insert into catalog_service.collection_drafts (slug, name, chain_id) values ('first-one', 'x', 'eip155:1')",
    ],
    [
        "collection_drafts_intent_id_key",
        "insert into catalog_service.collection_drafts (intent_id, slug, name, chain_id) \
        select intent_id, 'other', name, chain_id from catalog_service.collection_drafts",
    ],
    [
        "collection_drafts_name_length",
        "update catalog_service.collection_drafts set name = ''",
    ],
    [
        "collection_drafts_socials_json_object",
        "update catalog_service.collection_drafts set socials_json = '[]'",
    ],
    [
        "collection_drafts_mint_json_object",
        "update catalog_service.collection_drafts set mint_json = '[]'",
    ],
    [
        "collection_drafts_status_known",
        "update catalog_service.collection_drafts set status = 'lost'",
    ],
    [
        "collection_drafts_contract_address_given",
        "update catalog_service.collection_drafts set status = 'deployed'",
    ],
    [
        "notifications_type_form",
        "update platform_service.notifications set type = ''",
    ],
    [
        "notifications_title_length",
        "update platform_service.notifications set title = repeat('x', 201)",
    ],
    [
        "notifications_data_object",
        "update platform_service.notifications set data = '[]'",
    ],
    [
        "transactions_type_known",
        "update platform_service.transactions set type = 'gift'",
    ],
    [
        "transactions_status_form",
        "update platform_service.transactions set status = ''",
    ],
    [
        "transactions_amount_positive",
        "update platform_service.transactions set amount = -1",
    ],
    [
        "transactions_currency_length",
        "update platform_service.transactions set currency = ''",
    ],
    [
        "transactions_metadata_object",
        "update platform_service.transactions set metadata = '[]'",
    ],
    [
        "audit_logs_append_only",
        "update platform_service.audit_logs set action = 'nothing'",
    ],
    [
        "audit_logs_append_only",
        "update platform_service.audit_logs set user_id = null, action = 'nothing'",
    ],
    ["audit_logs_append_only", "delete from platform_service.audit_logs"],
    [
        "audit_logs_action_length",
        "insert into platform_service.audit_logs (action, resource_type) values ('', 'x')",
    ],
    [
        "audit_logs_resource_type_length",
        "insert into platform_service.audit_logs (action, resource_type) values ('x', '')",
    ],
    [
        "settings_key_form",
        "update platform_service.settings set key = 'Not a key' where type = 'json'",
    ],
    [
        "settings_key_key",
        "insert into platform_service.settings (key, value) values ('limits', '')",
    ],
    [
        "settings_type_known",
        "update platform_service.settings set type = 'list'",
    ],
    [
        "settings_value_of_type",
        "update platform_service.settings set value = '{' where type = 'json'",
    ],
    [
        "settings_value_of_type",
        "update platform_service.settings set type = 'integer' where type = 'string'",
    ],
    [
        "settings_value_of_type",
        "update platform_service.settings set type = 'boolean' where type = 'string'",
    ],
    [
        "ucie_tokens_coingecko_id_length",
        "update platform_service.ucie_tokens set coingecko_id = ''",
    ],
    [
        "ucie_tokens_coingecko_id_key",
        "insert into platform_service.ucie_tokens (coingecko_id, symbol, name) values ('bitcoin', 'x', 'x')",
    ],
    [
        "ucie_tokens_symbol_length",
        "update platform_service.ucie_tokens set symbol = ''",
    ],
    [
        "ucie_tokens_name_length",
        "update platform_service.ucie_tokens set name = ''",
    ],
    [
        "ucie_tokens_market_cap_rank_positive",
        "update platform_service.ucie_tokens set market_cap_rank = 0",
    ],
    [
        "ucie_tokens_current_price_usd_positive",
        "update platform_service.ucie_tokens set current_price_usd = -1",
    ],
    [
        "ucie_tokens_market_cap_usd_positive",
        "update platform_service.ucie_tokens set market_cap_usd = -1",
    ],
    [
        "ucie_tokens_total_volume_usd_positive",
        "update platform_service.ucie_tokens set total_volume_usd = -1",
    ],
    [
        "ucie_analysis_cache_symbol_length",
        "update platform_service.ucie_analysis_cache set symbol = ''",
    ],
    [
        "ucie_analysis_cache_analysis_type_length",
        "update platform_service.ucie_analysis_cache set analysis_type = ''",
    ],
    [
        "ucie_analysis_cache_data_quality_score_percent",
        "update platform_service.ucie_analysis_cache set data_quality_score = 101",
    ],
    [
        "ucie_analysis_cache_once",
        "insert into platform_service.ucie_analysis_cache (symbol, analysis_type, data, expires_at) \
        select symbol, analysis_type, data, expires_at from platform_service.ucie_analysis_cache",
    ],
    [
        "ucie_phase_data_session_id_length",
        "update platform_service.ucie_phase_data set session_id = ''",
    ],
    [
        "ucie_phase_data_symbol_length",
        "update platform_service.ucie_phase_data set symbol = ''",
    ],
    [
        "ucie_phase_data_phase_number_known",
        "update platform_service.ucie_phase_data set phase_number = 5",
    ],
    [
        "ucie_phase_data_once",
        "insert into platform_service.ucie_phase_data (session_id, symbol, phase_number, phase_data) \
        select session_id, symbol, phase_number, phase_data from platform_service.ucie_phase_data",
    ],
    [
        "ucie_watchlist_symbol_length",
        "update platform_service.ucie_watchlist set symbol = ''",
    ],
    [
        "ucie_watchlist_once",
        "insert into platform_service.ucie_watchlist (user_id, symbol) select user_id, symbol from platform_service.ucie_watchlist",
    ],
    [
        "ucie_alerts_symbol_length",
        "update platform_service.ucie_alerts set symbol = ''",
    ],
    [
        "ucie_alerts_alert_type_form",
        "update platform_service.ucie_alerts set alert_type = ''",
    ],
    [
        "ucie_alerts_alert_type_check",
        "update platform_service.ucie_alerts set threshold_value = null",
    ],
    [
        "ucie_alerts_alert_type_check",
        "update platform_service.ucie_alerts set threshold_value = 0",
    ],
    [
        "ucie_alerts_chain_named",
        "update platform_service.ucie_alerts set alert_type = 'floor_below'",
    ],
    [
        "ucie_alerts_condition_details_object",
        "update platform_service.ucie_alerts set condition_details = '[]'",
    ],
    [
        "ucie_alerts_trigger_count_positive",
        "update platform_service.ucie_alerts set trigger_count = -1",
    ],
    [
        "media_uploads_file_id_length",
        "insert into media_service.media_uploads (file_id, file_type) values ('', 'image/png')",
    ],
    [
        "media_uploads_pkey",
        "insert into media_service.media_uploads (file_id, file_type) values ('file', 'image/png')",
    ],
    [
        "media_uploads_file_type_form",
        "update media_service.media_uploads set file_type = 'picture'",
    ],
    [
        "media_uploads_size_bytes_positive",
        "update media_service.media_uploads set size_bytes = -1",
    ],
    [
        "media_uploads_ipfs_hash_cid",
        "update media_service.media_uploads set ipfs_hash = 'https://example.org'",
    ],
    [
        "media_uploads_status_known",
        "update media_service.media_uploads set status = 'lost'",
    ],
    [
        "processing_jobs_job_id_length",
        "update media_service.processing_jobs set job_id = ''",
    ],
    [
        "processing_jobs_pkey",
        "insert into media_service.processing_jobs (job_id, file_id) values ('job', 'file')",
    ],
    [
        "processing_jobs_operations_array",
        "update media_service.processing_jobs set operations = '{}'",
    ],
    [
        "processing_jobs_status_known",
        "update media_service.processing_jobs set status = 'lost'",
    ],
    [
        "processing_jobs_attempts_positive",
        "update media_service.processing_jobs set attempts = -1",
    ],
];

/// Rules of governance.
pub(super) const GOVERNANCE: &[[&str; 2]] = &[
    [
        "governors_family_form",
        "update governance_service.governors set family = 'No!'",
    ],
    [
        "governors_evidence_object",
        "update governance_service.governors set evidence = '[]'",
    ],
    [
        "tokens_contract_address_key",
        "insert into governance_service.tokens (id, chain_id, contract_address) \
        select gen_random_uuid(), chain_id, contract_address from governance_service.tokens",
    ],
    [
        "tokens_symbol_approved",
        "update governance_service.tokens set approved = true",
    ],
    [
        "tokens_decimals_known",
        "update governance_service.tokens set decimals = 78",
    ],
    [
        "tokens_circulating_supply_positive",
        "update governance_service.tokens set circulating_supply = -1",
    ],
    ["token_accounts_token_id_fkey", "delete from governance_service.tokens"],
    [
        "token_accounts_delegators_count_positive",
        "update governance_service.token_accounts set delegators_count = -1",
    ],
    [
        "proposal_facts_kind_known",
        "update governance_service.proposal_facts set kind = 'dreamt'",
    ],
    [
        "proposal_actions_position_positive",
        "update governance_service.proposal_actions set position = -1",
    ],
    [
        "proposal_actions_value_positive",
        "update governance_service.proposal_actions set value = -1",
    ],
    [
        "proposal_states_status_known",
        "update governance_service.proposal_states set status = 'won'",
    ],
    [
        "proposal_states_type_form",
        "update governance_service.proposal_states set type = ''",
    ],
    [
        "proposal_states_title_length",
        "update governance_service.proposal_states set title = repeat('x', 201)",
    ],
    [
        "proposal_states_metadata_object",
        "update governance_service.proposal_states set metadata = '[]'",
    ],
    [
        "proposal_states_quorum_positive",
        "update governance_service.proposal_states set quorum = -1",
    ],
    [
        "proposal_states_approval_threshold_share",
        "update governance_service.proposal_states set approval_threshold = 1.1",
    ],
    [
        "proposal_states_place_whole",
        "update governance_service.proposal_states set chain_id = null",
    ],
    [
        "proposal_states_number_once",
        "insert into governance_service.proposal_states (id, chain_id, governor, proposal_number) \
        select gen_random_uuid(), chain_id, governor, proposal_number from governance_service.proposal_states where chain_id is not null",
    ],
    [
        "proposal_tallies_voters_count_positive",
        "update governance_service.proposal_tallies set voters_count = -1",
    ],
    [
        "votes_kind_known",
        "update governance_service.votes set kind = 'shouted', chain_id = 'eip155:1'",
    ],
    ["votes_place_given", "update governance_service.votes set kind = 'cast'"],
    [
        "votes_vote_type_known",
        "update governance_service.votes set vote_type = 'maybe'",
    ],
    [
        "votes_off_chain_once",
        concat!(
            "insert into governance_service.votes (proposal_id, kind, voter_id, voting_power) \
        select proposal_id, kind, ",
            alice!(),
            ", 1 from governance_service.votes"
        ),
    ],
    [
        "comments_content_length",
        "update governance_service.comments set content = ''",
    ],
    [
        "comments_likes_positive",
        "update governance_service.comments set likes = -1",
    ],
    [
        "comments_dislikes_positive",
        "update governance_service.comments set dislikes = -1",
    ],
    [
        "comments_parent_id_not_self",
        "update governance_service.comments set parent_id = id",
    ],
    [
        "comments_parent_id_fkey",
        "update governance_service.comments set parent_id = gen_random_uuid()",
    ],
    [
        "comments_proposal_id_fkey",
        "insert into governance_service.comments (proposal_id, content) values (gen_random_uuid(), 'x')",
    ],
];
