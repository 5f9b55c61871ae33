//! Rules of signing in, and of wallets.

/// Pairs of a rule and what breaks it.
pub(in crate::rules) const ACCESS: &[[&str; 2]] = &[
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
