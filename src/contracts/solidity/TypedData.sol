// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title EIP-712 domain and digests.
abstract contract TypedData {
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    string private constant VERSION = "1";

    uint256 private immutable _chainId;
    bytes32 private immutable _domainSeparator;

    constructor() {
        _chainId = block.chainid;
        _domainSeparator = _separatorOf(_domainName(), address(this));
    }

    /// @notice The EIP-712 domain separator.
    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        // After a fork of the chain, signatures of one branch must not count on the other.
        return block.chainid == _chainId ? _domainSeparator : _separatorOf(_domainName(), address(this));
    }

    /// @notice The EIP-712 domain, as EIP-5267 has it.
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        )
    {
        return (hex"0f", _domainName(), VERSION, block.chainid, address(this), bytes32(0), new uint256[](0));
    }

    /// @dev What the domain is called.
    function _domainName() internal pure virtual returns (string memory);

    /// @dev What is signed for a struct of that hash.
    function _digest(bytes32 structHash) internal view returns (bytes32) {
        return _digestUnder(DOMAIN_SEPARATOR(), structHash);
    }

    /// @dev A name for a struct under the domain of the deployment, which a chain that changes its id doesn't change: what
    /// is stored under it stays in reach. Never for what is signed.
    function _originDigest(bytes32 structHash) internal view returns (bytes32) {
        return _digestUnder(_domainSeparator, structHash);
    }

    function _digestUnder(bytes32 separator, bytes32 structHash) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", separator, structHash));
    }

    function _separatorOf(string memory name, address verifyingContract) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                DOMAIN_TYPEHASH, keccak256(bytes(name)), keccak256(bytes(VERSION)), block.chainid, verifyingContract
            )
        );
    }
}
