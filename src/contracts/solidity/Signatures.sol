// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {TypedData} from "./TypedData.sol";

/// @title Whose key has signed.
/// @notice Proofs count that nobody can take back: signatures of 65 bytes (r, s, v) by the account's own key, or by a
/// session key that was registered for the channel (see `TokenNetwork.addSessionKey`). A contract's word (ERC-1271) can
/// change, so it counts only for what the contract itself wants at that moment.
abstract contract Signatures is TypedData {
    /// @notice This must be signed by `account` or a session key of it, or come from it where that is allowed.
    error NotSignedBy(address account);

    /// @dev Zero unless the signature is 65 bytes, v 27 or 28, s in the lower half.
    function _signerOf(bytes32 digest, bytes calldata signature) internal pure returns (address signer) {
        (signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
    }
}
