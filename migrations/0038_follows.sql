-- Follows between users, and how many there are. The counters are kept by triggers, a statement at a time: deleting a user ends all of
-- that user's follows in one.
create table if not exists user_service.user_follows (
    follower_id uuid not null references user_service.users (user_id) on delete cascade,
    following_id uuid not null references user_service.users (user_id) on delete cascade,
    created_at timestamptz not null default now(),
    primary key (follower_id, following_id),
    constraint user_follows_not_self check (follower_id <> following_id)
);
-- Covering: the newest followers of a user are read from the index alone.
create index if not exists user_follows_following on user_service.user_follows (following_id, created_at desc) include (follower_id);

-- Adds `step` for every row that the statement wrote or removed. Counters are locked in the order of users, because two people who
-- follow each other at the same moment would otherwise wait for each other.
create or replace function user_service.count_follows() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    step integer := case tg_op when 'INSERT' then 1 else -1 end;
begin
    perform from user_service.user_counters c
    where c.user_id in (select follower_id from changed union select following_id from changed)
    order by c.user_id for update;
    update user_service.user_counters c
    set followers_count = c.followers_count + step * n.followers, following_count = c.following_count + step * n.following
    from (select u.user_id, sum(u.follower)::integer as followers, sum(u.following)::integer as following
          from (select following_id as user_id, 1 as follower, 0 as following from changed
                union all
                select follower_id, 0, 1 from changed) u
          group by u.user_id) n
    where c.user_id = n.user_id;
    return null;
end
$$;
create or replace trigger user_follows_counted after insert on user_service.user_follows
    referencing new table as changed for each statement execute function user_service.count_follows();
create or replace trigger user_follows_uncounted after delete on user_service.user_follows
    referencing old table as changed for each statement execute function user_service.count_follows();

-- A follow begins and ends; it never becomes another. The counters would not notice.
create or replace function user_service.refuse_update() returns trigger language plpgsql as $$
begin
    raise exception 'rows of %.% never change', tg_table_schema, tg_table_name
        using errcode = 'check_violation', constraint = tg_name, schema = tg_table_schema, table = tg_table_name;
end
$$;
create or replace trigger user_follows_unchanging before update on user_service.user_follows
    for each row execute function user_service.refuse_update();
