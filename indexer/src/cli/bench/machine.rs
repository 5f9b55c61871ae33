//! What this process and the database's took of the machine, as Linux reports it; nothing where it does not.

use sqlx::PgPool;

/// Hundredths of a second, in which the kernel reports processor time on every platform.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processes that serve this database's clients; what the server does beside them, such as writing pages out, is not among it.
const BACKENDS: &str =
    "select pid from pg_stat_activity where datname = current_database() and backend_type = 'client backend'";

/// The most memory this process ever held, in megabytes.
pub(super) fn peak_memory_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().split(' ').next()?.parse::<u64>().ok()? / 1024)
}

/// Processor time of this process, in seconds.
pub(super) fn cpu_seconds() -> Option<f64> {
    seconds_of("self", None)
}

/// Processor time of the server's processes behind `pool`, in seconds, where the server is on this machine.
pub(super) async fn server_cpu_seconds(pool: &PgPool) -> Option<f64> {
    let pids: Vec<i32> = sqlx::query_scalar(BACKENDS).fetch_all(pool).await.ok()?;
    let seconds = pids
        .iter()
        .map(|pid| seconds_of(&pid.to_string(), Some("postgres")))
        .collect::<Option<Vec<f64>>>()?;
    Some(seconds.iter().sum())
}

fn seconds_of(pid: &str, name: Option<&str>) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold blanks.
    let (head, rest) = stat.rsplit_once(')')?;
    // A server elsewhere has process numbers too: they are of other programs here.
    if name.is_some_and(|name| !head.ends_with(&format!("({name}"))) {
        return None;
    }
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<f64>().ok()?, fields.next()?.parse::<f64>().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}
