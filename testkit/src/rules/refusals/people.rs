//! Rules of accounts and what they show.

/// Pairs of a rule and what breaks it.
pub(in crate::rules) const PEOPLE: &[[&str; 2]] = &[
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
