-- People: accounts, what they show of themselves, what they prefer. Written by the user service, and by the one that signs people in.
create schema if not exists user_service;

create table if not exists user_service.users (
    user_id uuid primary key default gen_random_uuid(),
    -- A deleted account keeps its row; what a person may have erased cascades from the row when that goes after all.
    status text not null default 'active'
        constraint users_status_known check (status in ('active', 'banned', 'deleted', 'suspended')),
    role text not null default 'user' constraint users_role_known check (role in ('user', 'moderator', 'admin')),
    is_active boolean not null generated always as (status = 'active') stored,
    -- The number older systems know the person by; given once, and copied to where they look for it (0045_diaries_referrals.sql).
    legacy_id integer not null generated always as identity unique,
    last_login timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index if not exists users_status on user_service.users (status) where status <> 'active';
create index if not exists users_role on user_service.users (role) where role <> 'user';
create index if not exists users_created_at on user_service.users (created_at);

create table if not exists user_service.profiles (
    user_id uuid primary key references user_service.users (user_id) on delete cascade,
    -- One document gives profiles an id of their own.
    id uuid not null unique default gen_random_uuid(),
    -- Null until it is chosen.
    username text collate "C" constraint profiles_username_form check (username ~ '^[A-Za-z0-9_]{3,30}$'),
    display_name text constraint profiles_display_name_length check (char_length(display_name) between 1 and 50),
    first_name text constraint profiles_first_name_length check (char_length(first_name) <= 100),
    last_name text constraint profiles_last_name_length check (char_length(last_name) <= 100),
    bio text constraint profiles_bio_length check (char_length(bio) <= 500),
    avatar_url text constraint profiles_avatar_url_length check (char_length(avatar_url) <= 2048),
    banner_url text constraint profiles_banner_url_length check (char_length(banner_url) <= 2048),
    locale text not null default 'en' constraint profiles_locale_length check (char_length(locale) between 2 and 10),
    timezone text not null default 'UTC' constraint profiles_timezone_length check (char_length(timezone) between 1 and 50),
    socials_json jsonb not null default '{}' constraint profiles_socials_json_object check (jsonb_typeof(socials_json) = 'object'),
    -- One document has columns of them; they cannot differ from the object.
    website text generated always as (socials_json ->> 'website') stored,
    twitter text generated always as (socials_json ->> 'twitter') stored,
    discord text generated always as (socials_json ->> 'discord') stored,
    telegram text generated always as (socials_json ->> 'telegram') stored,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
-- Alice and alice are one name; profiles are looked up by lower(name). Covering: a page of an activity feed shows names and pictures only.
create unique index if not exists profiles_username_lower on user_service.profiles (lower(username)) include (user_id);
create index if not exists profiles_created_at on user_service.profiles (created_at);

create table if not exists user_service.user_preferences (
    user_id uuid primary key references user_service.users (user_id) on delete cascade,
    email_notifications boolean not null default true,
    push_notifications boolean not null default true,
    marketing_emails boolean not null default false,
    language text not null default 'en' constraint user_preferences_language_length check (char_length(language) between 2 and 10),
    currency text not null default 'USD' constraint user_preferences_currency_length check (char_length(currency) between 1 and 10),
    theme text not null default 'auto' constraint user_preferences_theme_known check (theme in ('light', 'dark', 'auto')),
    privacy_level text not null default 'public'
        constraint user_preferences_privacy_level_known check (privacy_level in ('public', 'private', 'friends')),
    show_activity boolean not null default true,
    -- What other systems kept as one document in the profile.
    extra jsonb not null default '{}' constraint user_preferences_extra_object check (jsonb_typeof(extra) = 'object'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- What the view user_stats has of a person beside what the chain decides.
create table if not exists user_service.user_counters (
    user_id uuid primary key references user_service.users (user_id) on delete cascade,
    followers_count integer not null default 0 constraint user_counters_followers_count_positive check (followers_count >= 0),
    following_count integer not null default 0 constraint user_counters_following_count_positive check (following_count >= 0),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- With the rights of its owner: the service that signs people in makes users and may write no profile.
create or replace function user_service.complete_user() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into user_service.profiles (user_id) values (new.user_id) on conflict do nothing;
    insert into user_service.user_preferences (user_id) values (new.user_id) on conflict do nothing;
    insert into user_service.user_counters (user_id) values (new.user_id) on conflict do nothing;
    return null;
end
$$;
create or replace trigger users_complete after insert on user_service.users
    for each row execute function user_service.complete_user();

create or replace trigger users_touch before update on user_service.users
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger profiles_touch before update on user_service.profiles
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger user_preferences_touch before update on user_service.user_preferences
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger user_counters_touch before update on user_service.user_counters
    for each row execute function chain_registry_service.touch_updated_at();
