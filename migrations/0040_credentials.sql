-- What people and machines prove themselves with: passwords, access codes, service tokens. Secrets are stored hashed, but for the seed
-- of the second factor, which must be read back and is encrypted with a key outside the database.
create schema if not exists auth_service;

-- Only of users who have an address; those who sign in with a wallet have no row.
create table if not exists auth_service.credentials (
    user_id uuid primary key references user_service.users (user_id) on delete cascade,
    email text not null constraint credentials_email_form check (email = lower(btrim(email)) and email like '%_@_%'),
    password_hash text,
    email_verified boolean not null default false,
    verification_token_hash text collate "C",
    two_factor_secret bytea,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- Covering: signing in by address reads one entry.
    constraint credentials_email_key unique (email) include (user_id, email_verified)
);
create unique index if not exists credentials_verification_token on auth_service.credentials (verification_token_hash)
    where verification_token_hash is not null;
create index if not exists credentials_email_verified on auth_service.credentials (email_verified) where not email_verified;

create table if not exists auth_service.access_codes (
    id uuid primary key default gen_random_uuid(),
    code text collate "C" not null unique
        constraint access_codes_code_form check (code = upper(btrim(code)) and char_length(code) between 1 and 64),
    redeemed boolean not null default false,
    -- Null again when the user goes: the code stays redeemed.
    redeemed_by uuid references user_service.users (user_id) on delete set null,
    redeemed_at timestamptz,
    created_at timestamptz not null default now(),
    constraint access_codes_redeemed_consistency
        check (redeemed = (redeemed_at is not null) and (redeemed_by is null or redeemed))
);
create index if not exists access_codes_open on auth_service.access_codes (redeemed, created_at) where not redeemed;
-- One code per user.
create unique index if not exists access_codes_redeemed_by on auth_service.access_codes (redeemed_by) where redeemed_by is not null;

-- The rule of a check cannot see when a column was set: at the moment of redeeming there is a user, and no code is opened again.
create or replace function auth_service.redeem_access_code() returns trigger language plpgsql as $$
begin
    if new.redeemed and not (tg_op = 'UPDATE' and old.redeemed) and new.redeemed_by is null then
        raise exception 'an access code is redeemed by a user'
            using errcode = 'check_violation', constraint = 'access_codes_redeemed_by_given',
                  schema = tg_table_schema, table = tg_table_name;
    end if;
    if tg_op = 'UPDATE' and old.redeemed
       and (not new.redeemed or new.redeemed_by is distinct from old.redeemed_by and new.redeemed_by is not null) then
        raise exception 'an access code is redeemed once'
            using errcode = 'check_violation', constraint = 'access_codes_redeemed_once',
                  schema = tg_table_schema, table = tg_table_name;
    end if;
    return new;
end
$$;
create or replace trigger access_codes_redeem before insert or update on auth_service.access_codes
    for each row execute function auth_service.redeem_access_code();

-- Of machines: hashed, scoped, limited to addresses where `allowed_ips` names any.
create table if not exists auth_service.service_tokens (
    id uuid primary key default gen_random_uuid(),
    name text not null unique constraint service_tokens_name_length check (char_length(name) between 1 and 100),
    token_hash text collate "C" not null unique constraint service_tokens_token_hash_form check (token_hash ~ '^[0-9a-f]{64}$'),
    scopes text[] not null
        constraint service_tokens_scopes_form check (cardinality(scopes) > 0 and array_to_string(scopes, ' ', '!') ~ '^[a-z:_ ]+$'),
    -- Null for one made on the command line.
    created_by uuid references user_service.users (user_id) on delete set null,
    allowed_ips cidr[] not null default '{}',
    created_at timestamptz not null default now(),
    expires_at timestamptz constraint service_tokens_expires_at_later check (expires_at > created_at),
    last_used_at timestamptz,
    revoked_at timestamptz
);
create index if not exists service_tokens_created_by on auth_service.service_tokens (created_by);

create or replace trigger credentials_touch before update on auth_service.credentials
    for each row execute function chain_registry_service.touch_updated_at();
