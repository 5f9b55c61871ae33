// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import "@openzeppelin/contracts/governance/Governor.sol";
import "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import "@openzeppelin/contracts/governance/extensions/GovernorSettings.sol";
import "@openzeppelin/contracts/governance/extensions/GovernorTimelockControl.sol";
import "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";
import "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";

contract MarketVotes is ERC20Votes {
    constructor() ERC20("Market Votes", "VOTE") ERC20Permit("Market Votes") {
        _mint(msg.sender, 1_000_000 ether);
    }
}

/// Votes begin 5 blocks after a proposal and last 60; a tenth of the supply is the quorum.
contract MarketGovernor is
    Governor,
    GovernorSettings,
    GovernorCountingSimple,
    GovernorVotes,
    GovernorVotesQuorumFraction,
    GovernorTimelockControl
{
    constructor(IVotes token, TimelockController timelock)
        Governor("Market Governor")
        GovernorSettings(5, 60, 1 ether)
        GovernorVotes(token)
        GovernorVotesQuorumFraction(10)
        GovernorTimelockControl(timelock)
    {}

    function votingDelay() public view override(IGovernor, GovernorSettings) returns (uint256) {
        return super.votingDelay();
    }

    function votingPeriod() public view override(IGovernor, GovernorSettings) returns (uint256) {
        return super.votingPeriod();
    }

    function quorum(uint256 timepoint) public view override(IGovernor, GovernorVotesQuorumFraction) returns (uint256) {
        return super.quorum(timepoint);
    }

    function proposalThreshold() public view override(Governor, GovernorSettings) returns (uint256) {
        return super.proposalThreshold();
    }

    function state(uint256 id) public view override(Governor, GovernorTimelockControl) returns (ProposalState) {
        return super.state(id);
    }

    function propose(address[] memory targets, uint256[] memory values, bytes[] memory calldatas, string memory text)
        public
        override(Governor, IGovernor)
        returns (uint256)
    {
        return super.propose(targets, values, calldatas, text);
    }

    function supportsInterface(bytes4 id) public view override(Governor, GovernorTimelockControl) returns (bool) {
        return super.supportsInterface(id);
    }

    function _execute(uint256 id, address[] memory targets, uint256[] memory values, bytes[] memory calldatas, bytes32 hash)
        internal
        override(Governor, GovernorTimelockControl)
    {
        super._execute(id, targets, values, calldatas, hash);
    }

    function _cancel(address[] memory targets, uint256[] memory values, bytes[] memory calldatas, bytes32 hash)
        internal
        override(Governor, GovernorTimelockControl)
        returns (uint256)
    {
        return super._cancel(targets, values, calldatas, hash);
    }

    function _executor() internal view override(Governor, GovernorTimelockControl) returns (address) {
        return super._executor();
    }
}
