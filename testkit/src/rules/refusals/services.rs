//! Rules of intents, minting, the platform and media.

/// Pairs of a rule and what breaks it.
pub(in crate::rules) const SERVICES: &[[&str; 2]] = &[
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
