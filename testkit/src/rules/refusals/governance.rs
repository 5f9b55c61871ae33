//! Rules of governance.

/// Pairs of a rule and what breaks it.
pub(in crate::rules) const GOVERNANCE: &[[&str; 2]] = &[
    [
        "governors_family_form",
        "update governance_service.governors set family = 'No!'",
    ],
    [
        "governors_evidence_object",
        "update governance_service.governors set evidence = '[]'",
    ],
    [
        "tokens_contract_address_key",
        "insert into governance_service.tokens (id, chain_id, contract_address) \
        select gen_random_uuid(), chain_id, contract_address from governance_service.tokens",
    ],
    [
        "tokens_symbol_approved",
        "update governance_service.tokens set approved = true",
    ],
    [
        "tokens_decimals_known",
        "update governance_service.tokens set decimals = 78",
    ],
    [
        "tokens_circulating_supply_positive",
        "update governance_service.tokens set circulating_supply = -1",
    ],
    ["token_accounts_token_id_fkey", "delete from governance_service.tokens"],
    [
        "token_accounts_delegators_count_positive",
        "update governance_service.token_accounts set delegators_count = -1",
    ],
    [
        "proposal_facts_kind_known",
        "update governance_service.proposal_facts set kind = 'dreamt'",
    ],
    [
        "proposal_actions_position_positive",
        "update governance_service.proposal_actions set position = -1",
    ],
    [
        "proposal_actions_value_positive",
        "update governance_service.proposal_actions set value = -1",
    ],
    [
        "proposal_states_status_known",
        "update governance_service.proposal_states set status = 'won'",
    ],
    [
        "proposal_states_type_form",
        "update governance_service.proposal_states set type = ''",
    ],
    [
        "proposal_states_title_length",
        "update governance_service.proposal_states set title = repeat('x', 201)",
    ],
    [
        "proposal_states_metadata_object",
        "update governance_service.proposal_states set metadata = '[]'",
    ],
    [
        "proposal_states_quorum_positive",
        "update governance_service.proposal_states set quorum = -1",
    ],
    [
        "proposal_states_approval_threshold_share",
        "update governance_service.proposal_states set approval_threshold = 1.1",
    ],
    [
        "proposal_states_place_whole",
        "update governance_service.proposal_states set chain_id = null",
    ],
    [
        "proposal_states_number_once",
        "insert into governance_service.proposal_states (id, chain_id, governor, proposal_number) \
        select gen_random_uuid(), chain_id, governor, proposal_number from governance_service.proposal_states where chain_id is not null",
    ],
    [
        "proposal_tallies_voters_count_positive",
        "update governance_service.proposal_tallies set voters_count = -1",
    ],
    [
        "votes_kind_known",
        "update governance_service.votes set kind = 'shouted', chain_id = 'eip155:1'",
    ],
    ["votes_place_given", "update governance_service.votes set kind = 'cast'"],
    [
        "votes_vote_type_known",
        "update governance_service.votes set vote_type = 'maybe'",
    ],
    [
        "votes_off_chain_once",
        concat!(
            "insert into governance_service.votes (proposal_id, kind, voter_id, voting_power) \
        select proposal_id, kind, ",
            alice!(),
            ", 1 from governance_service.votes"
        ),
    ],
    [
        "comments_content_length",
        "update governance_service.comments set content = ''",
    ],
    [
        "comments_likes_positive",
        "update governance_service.comments set likes = -1",
    ],
    [
        "comments_dislikes_positive",
        "update governance_service.comments set dislikes = -1",
    ],
    [
        "comments_parent_id_not_self",
        "update governance_service.comments set parent_id = id",
    ],
    [
        "comments_parent_id_fkey",
        "update governance_service.comments set parent_id = gen_random_uuid()",
    ],
    [
        "comments_proposal_id_fkey",
        "insert into governance_service.comments (proposal_id, content) values (gen_random_uuid(), 'x')",
    ],
];
