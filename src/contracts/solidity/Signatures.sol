// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {TypedData} from "./TypedData.sol";

/// @title Who may speak for an account.
/// @notice The account's key (65 bytes: r, s, v), the account itself if it is a contract (ERC-1271), or a session key:
/// its 65 bytes followed by the account's signature of `Delegation`, under the domain of the TokenNetworkRegistry.
abstract contract Signatures is TypedData {
    /// @notice This must be signed by `account`, or come from it where that is allowed.
    error NotSignedBy(address account);

    bytes32 private constant DELEGATION_TYPEHASH = keccak256("Delegation(address participant,address signer)");

    /// @notice The TokenNetworkRegistry under whose domain delegations are signed.
    address public immutable registry;

    uint256 private immutable _chainId = block.chainid;
    bytes32 private immutable _registrySeparator;

    constructor(address registry_) {
        registry = registry_;
        _registrySeparator = _separatorOf("Sluice TokenNetworkRegistry", registry_);
    }

    /// @dev Refuses what is neither signed by `account` nor, without a signature, called by it.
    function _requireConsent(address account, bytes32 structHash, bytes calldata signature) internal view {
        if (signature.length == 0 && msg.sender == account) return;
        _requireSigned(account, _digest(structHash), signature);
    }

    /// @dev Refuses a digest that `account` did not sign.
    function _requireSigned(address account, bytes32 digest, bytes calldata signature) internal view {
        if (_isSigned(account, digest, signature)) return;
        if (signature.length > 65) {
            (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature[:65]);
            if (signer != address(0)) {
                bytes32 separator = block.chainid == _chainId
                    ? _registrySeparator
                    : _separatorOf("Sluice TokenNetworkRegistry", registry);
                bytes32 structHash = keccak256(abi.encode(DELEGATION_TYPEHASH, account, signer));
                if (_isSigned(account, _digestUnder(separator, structHash), signature[65:])) return;
            }
        }
        revert NotSignedBy(account);
    }

    /// @dev By the account's key, which also holds for an account that delegated to code (EIP-7702), or by its contract.
    function _isSigned(address account, bytes32 digest, bytes calldata signature) private view returns (bool) {
        // Zero unless the signature is 65 bytes, v 27 or 28, s in the lower half.
        (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (signer != address(0) && signer == account) return true;
        if (account.code.length == 0) return false;
        (bool success, bytes memory answer) =
            account.staticcall(abi.encodeCall(IERC1271.isValidSignature, (digest, signature)));
        return success && answer.length > 31 && bytes32(answer) == bytes32(IERC1271.isValidSignature.selector);
    }
}
