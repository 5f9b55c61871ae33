-- Files and what is done with them, where no MongoDB is configured; there they are collections of the same shape.
create schema if not exists media_service;

create table if not exists media_service.media_uploads (
    file_id text collate "C" primary key constraint media_uploads_file_id_length check (char_length(file_id) between 1 and 200),
    -- Null for pictures of tokens. No foreign key: MongoDB has none either.
    user_id uuid,
    file_type text not null constraint media_uploads_file_type_form check (file_type ~ '^[a-z0-9.+-]+/[a-z0-9.+-]+$'),
    size_bytes bigint constraint media_uploads_size_bytes_positive check (size_bytes >= 0),
    -- A CID: version 0, or version 1 in one of the bases in use.
    ipfs_hash text collate "C" constraint media_uploads_ipfs_hash_cid
        check (ipfs_hash ~ '^(Qm[1-9A-HJ-NP-Za-km-z]{44}|b[a-z2-7]{8,120}|z[1-9A-HJ-NP-Za-km-z]{8,120}|f[0-9a-f]{8,160}|k[0-9a-z]{8,120})$'),
    status text not null default 'pending'
        constraint media_uploads_status_known check (status in ('pending', 'processing', 'ready', 'failed')),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index if not exists media_uploads_user on media_service.media_uploads (user_id) where user_id is not null;
create index if not exists media_uploads_status on media_service.media_uploads (status);
create index if not exists media_uploads_ipfs_hash on media_service.media_uploads (ipfs_hash) where ipfs_hash is not null;

create table if not exists media_service.processing_jobs (
    job_id text collate "C" primary key constraint processing_jobs_job_id_length check (char_length(job_id) between 1 and 200),
    file_id text collate "C" not null references media_service.media_uploads (file_id) on delete cascade,
    -- What is to be done, in order.
    operations jsonb not null default '[]' constraint processing_jobs_operations_array check (jsonb_typeof(operations) = 'array'),
    status text not null default 'pending'
        constraint processing_jobs_status_known check (status in ('pending', 'processing', 'done', 'failed')),
    attempts integer not null default 0 constraint processing_jobs_attempts_positive check (attempts >= 0),
    error text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index if not exists processing_jobs_file on media_service.processing_jobs (file_id);
create index if not exists processing_jobs_status on media_service.processing_jobs (status);

create or replace trigger media_uploads_touch before update on media_service.media_uploads
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger processing_jobs_touch before update on media_service.processing_jobs
    for each row execute function chain_registry_service.touch_updated_at();
