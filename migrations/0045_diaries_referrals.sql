-- Diaries, referral codes and referrals. Written by the user service.
create table if not exists user_service.diaries (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references user_service.users (user_id) on delete cascade,
    legacy_user_id integer not null,
    title text constraint diaries_title_length check (char_length(title) <= 200),
    body text not null default '',
    visibility text not null default 'private' constraint diaries_visibility_known check (visibility in ('private', 'public')),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index if not exists diaries_user on user_service.diaries (user_id, created_at desc);
create index if not exists diaries_legacy_user on user_service.diaries (legacy_user_id);
create index if not exists diaries_public on user_service.diaries (created_at desc) where visibility = 'public';
create or replace trigger diaries_legacy_user_id before insert or update of user_id, legacy_user_id on user_service.diaries
    for each row execute function user_service.keep_legacy_user_id();
create or replace trigger diaries_touch before update on user_service.diaries
    for each row execute function chain_registry_service.touch_updated_at();

create table if not exists user_service.referral_codes (
    id integer generated always as identity primary key,
    code text collate "C" not null unique constraint referral_codes_code_form check (code ~ '^[A-Z0-9_-]{3,32}$'),
    -- Whose code it is; null for one of the platform's own, and when the user goes.
    user_id uuid references user_service.users (user_id) on delete set null,
    -- Null is no limit.
    max_uses integer constraint referral_codes_max_uses_positive check (max_uses > 0),
    uses integer not null default 0,
    active boolean not null default true,
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint referral_codes_uses_limited check (uses >= 0 and (max_uses is null or uses <= max_uses))
);
create index if not exists referral_codes_user on user_service.referral_codes (user_id);

create table if not exists user_service.referrals (
    id integer generated always as identity primary key,
    referral_code_id integer not null references user_service.referral_codes (id) on delete cascade,
    -- Whose code it was, filled from the code.
    referrer_id uuid references user_service.users (user_id) on delete set null,
    -- A person is referred once.
    referred_user_id uuid unique references user_service.users (user_id) on delete set null,
    status text not null default 'pending' constraint referrals_status_known check (status in ('pending', 'qualified', 'rewarded')),
    qualified_at timestamptz,
    -- Id of the fact that qualified it: a rewind takes it back.
    qualifying_fact uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint referrals_not_self check (referrer_id <> referred_user_id),
    constraint referrals_qualified_at_set check ((status = 'pending') = (qualified_at is null))
);
create index if not exists referrals_code on user_service.referrals (referral_code_id);
create index if not exists referrals_referrer on user_service.referrals (referrer_id);
create index if not exists referrals_fact on user_service.referrals (qualifying_fact) where qualifying_fact is not null;

-- Finds whose code it is, and locks it: two people cannot both take the last use.
create or replace function user_service.open_referral_code() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    used record;
begin
    select c.user_id, c.active and coalesce(c.expires_at > now(), true) as is_open into used
    from user_service.referral_codes c where c.id = new.referral_code_id for update;
    -- A code that does not exist is left to the foreign key.
    if found and not used.is_open then
        raise exception 'the referral code is not open'
            using errcode = 'check_violation', constraint = 'referral_codes_open', schema = tg_table_schema, table = tg_table_name;
    end if;
    new.referrer_id = used.user_id;
    return new;
end
$$;
create or replace trigger referrals_open before insert on user_service.referrals
    for each row execute function user_service.open_referral_code();

-- The check of the code refuses a use too many. Counted after the row is there, because `on conflict do nothing` may leave it out.
create or replace function user_service.count_referral() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        update user_service.referral_codes set uses = uses + 1 where id = new.referral_code_id;
    else
        update user_service.referral_codes set uses = uses - 1 where id = old.referral_code_id;
    end if;
    return null;
end
$$;
create or replace trigger referrals_counted after insert or delete on user_service.referrals
    for each row execute function user_service.count_referral();

create or replace trigger referral_codes_touch before update on user_service.referral_codes
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger referrals_touch before update on user_service.referrals
    for each row execute function chain_registry_service.touch_updated_at();
