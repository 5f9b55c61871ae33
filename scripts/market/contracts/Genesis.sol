// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import "@openzeppelin/contracts/token/ERC721/extensions/ERC721Burnable.sol";
import "@openzeppelin/contracts/token/ERC721/extensions/ERC721Consecutive.sol";

/// Minted whole at construction, in ranges told by ERC-2309's `ConsecutiveTransfer`.
contract Genesis is ERC721Consecutive, ERC721Burnable {
    constructor(address[] memory receivers, uint96 each) ERC721("Genesis", "GEN") {
        for (uint256 i = 0; i < receivers.length; i++) {
            _mintConsecutive(receivers[i], each);
        }
    }

    function _ownerOf(uint256 id) internal view override(ERC721, ERC721Consecutive) returns (address) {
        return super._ownerOf(id);
    }

    function _mint(address to, uint256 id) internal override(ERC721, ERC721Consecutive) {
        super._mint(to, id);
    }

    function _beforeTokenTransfer(address from, address to, uint256 first, uint256 size) internal override(ERC721) {
        super._beforeTokenTransfer(from, to, first, size);
    }

    function _afterTokenTransfer(address from, address to, uint256 first, uint256 size)
        internal
        override(ERC721, ERC721Consecutive)
    {
        super._afterTokenTransfer(from, to, first, size);
    }
}
