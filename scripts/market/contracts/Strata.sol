// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import "@openzeppelin/contracts/token/ERC721/extensions/ERC721Burnable.sol";
import "@openzeppelin/contracts/token/common/ERC2981.sol";

/// A drop: anyone mints several tokens in one transaction, each with a `Transfer` of its own, and creators get royalties.
contract Strata is ERC721Burnable, ERC2981 {
    uint256 public minted;

    constructor(address creator) ERC721("Strata", "STRATA") {
        _setDefaultRoyalty(creator, 500);
    }

    function mint(address to, uint256 quantity) external {
        for (uint256 i = 0; i < quantity; i++) {
            minted += 1;
            _mint(to, minted);
        }
    }

    function supportsInterface(bytes4 id) public view override(ERC721, ERC2981) returns (bool) {
        return super.supportsInterface(id);
    }
}
