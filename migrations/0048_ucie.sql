-- Coins and what is known about them, written by another service; watch lists and alerts of users. A symbol is not unique among coins, so
-- it refers to none.
create table if not exists platform_service.ucie_tokens (
    id uuid primary key default gen_random_uuid(),
    coingecko_id text collate "C" not null unique
        constraint ucie_tokens_coingecko_id_length check (char_length(coingecko_id) between 1 and 200),
    symbol text not null constraint ucie_tokens_symbol_length check (char_length(symbol) between 1 and 50),
    name text not null constraint ucie_tokens_name_length check (char_length(name) between 1 and 200),
    market_cap_rank integer constraint ucie_tokens_market_cap_rank_positive check (market_cap_rank > 0),
    image_url text,
    current_price_usd numeric constraint ucie_tokens_current_price_usd_positive check (current_price_usd >= 0),
    market_cap_usd numeric constraint ucie_tokens_market_cap_usd_positive check (market_cap_usd >= 0),
    total_volume_usd numeric constraint ucie_tokens_total_volume_usd_positive check (total_volume_usd >= 0),
    -- Percent.
    price_change_24h numeric,
    is_active boolean not null default true,
    last_updated timestamptz not null default now(),
    created_at timestamptz not null default now(),
    -- Words as they are written: names of coins are of no language.
    search tsvector generated always as (to_tsvector('pg_catalog.simple', symbol || ' ' || name)) stored
);
create index if not exists ucie_tokens_symbol on platform_service.ucie_tokens (symbol);
create index if not exists ucie_tokens_market_cap_rank on platform_service.ucie_tokens (market_cap_rank);
create index if not exists ucie_tokens_active on platform_service.ucie_tokens (is_active, market_cap_rank) where is_active;
create index if not exists ucie_tokens_last_updated on platform_service.ucie_tokens (last_updated);
create index if not exists ucie_tokens_search on platform_service.ucie_tokens using gin (search);

create table if not exists platform_service.ucie_analysis_cache (
    id uuid primary key default gen_random_uuid(),
    symbol text not null constraint ucie_analysis_cache_symbol_length check (char_length(symbol) between 1 and 50),
    analysis_type text not null constraint ucie_analysis_cache_analysis_type_length check (char_length(analysis_type) between 1 and 50),
    data jsonb not null,
    data_quality_score integer
        constraint ucie_analysis_cache_data_quality_score_percent check (data_quality_score between 0 and 100),
    created_at timestamptz not null default now(),
    -- Readers leave out what is past it; the maintenance task deletes it.
    expires_at timestamptz not null,
    constraint ucie_analysis_cache_once unique (symbol, analysis_type)
);
create index if not exists ucie_analysis_cache_analysis_type on platform_service.ucie_analysis_cache (analysis_type);
create index if not exists ucie_analysis_cache_expires_at on platform_service.ucie_analysis_cache (expires_at);

create table if not exists platform_service.ucie_phase_data (
    id uuid primary key default gen_random_uuid(),
    session_id text not null constraint ucie_phase_data_session_id_length check (char_length(session_id) between 1 and 255),
    symbol text not null constraint ucie_phase_data_symbol_length check (char_length(symbol) between 1 and 50),
    phase_number integer not null constraint ucie_phase_data_phase_number_known check (phase_number between 1 and 4),
    phase_data jsonb not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '1 hour',
    constraint ucie_phase_data_once unique (session_id, symbol, phase_number)
);
create index if not exists ucie_phase_data_expires_at on platform_service.ucie_phase_data (expires_at);

create table if not exists platform_service.ucie_watchlist (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references user_service.users (user_id) on delete cascade,
    symbol text not null constraint ucie_watchlist_symbol_length check (char_length(symbol) between 1 and 50),
    notes text,
    added_at timestamptz not null default now(),
    last_viewed_at timestamptz,
    constraint ucie_watchlist_once unique (user_id, symbol)
);
create index if not exists ucie_watchlist_symbol on platform_service.ucie_watchlist (symbol);
create index if not exists ucie_watchlist_added_at on platform_service.ucie_watchlist (added_at);

-- Of coins, checked by their service; and of collections and proposals, checked by the daemon.
create table if not exists platform_service.ucie_alerts (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references user_service.users (user_id) on delete cascade,
    -- Of a coin; the slug of a collection in alerts of the chain.
    symbol text not null constraint ucie_alerts_symbol_length check (char_length(symbol) between 1 and 100),
    alert_type text not null constraint ucie_alerts_alert_type_form check (alert_type ~ '^[a-z][a-z0-9_]{0,49}$'),
    threshold_value numeric,
    condition_details jsonb not null default '{}'
        constraint ucie_alerts_condition_details_object check (jsonb_typeof(condition_details) = 'object'),
    -- Whether the condition held when it was last looked at: an alert fires when it begins to hold.
    triggered boolean not null default false,
    triggered_at timestamptz,
    trigger_count integer not null default 0 constraint ucie_alerts_trigger_count_positive check (trigger_count >= 0),
    last_checked_at timestamptz,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    enabled boolean not null default true,
    constraint ucie_alerts_alert_type_check check (
        not (alert_type like 'price\_%' or alert_type in ('floor_above', 'floor_below', 'sale_above', 'new_listing_below'))
        or (threshold_value is not null and threshold_value > 0)
    ),
    constraint ucie_alerts_chain_named check (
        alert_type not in ('floor_above', 'floor_below', 'sale_above', 'new_listing_below', 'whale_transfer', 'proposal_state')
        or (condition_details ? 'chain' and condition_details ? 'contract')
    )
);
create index if not exists ucie_alerts_user on platform_service.ucie_alerts (user_id);
create index if not exists ucie_alerts_symbol on platform_service.ucie_alerts (symbol) where enabled;
create index if not exists ucie_alerts_waiting on platform_service.ucie_alerts (triggered, symbol) where not triggered;
create index if not exists ucie_alerts_enabled on platform_service.ucie_alerts (enabled, expires_at) where enabled;
create index if not exists ucie_alerts_alert_type on platform_service.ucie_alerts (alert_type);
