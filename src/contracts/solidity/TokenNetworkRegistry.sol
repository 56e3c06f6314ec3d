// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {SecretRegistry} from "./SecretRegistry.sol";
import {Signatures} from "./Signatures.sol";
import {TokenNetwork} from "./TokenNetwork.sol";

/// @title The token networks: one per token. And the session keys that accounts let sign for them.
/// @notice Its EIP-712 domain is that of delegations, which hold in all its networks until they expire or are revoked.
contract TokenNetworkRegistry is Signatures {
    /// @notice `tokenNetwork` holds the channels of `token` (zero for ETH) from now on.
    event TokenNetworkCreated(address indexed token, address indexed tokenNetwork);
    /// @notice `account` lets `signer` sign nothing new for it, whatever delegations there are.
    event SessionKeyRevoked(address indexed account, address indexed signer);

    /// @notice There is no contract at this address.
    error TokenUnusable(address token);
    /// @notice The token has its network.
    error TokenNetworkExists(address token, address tokenNetwork);
    /// @notice The challenge period must be some time.
    error ChallengePeriodZero();

    bytes32 private constant DELEGATION_TYPEHASH =
        keccak256("Delegation(address participant,address signer,uint64 validUntil)");

    /// @notice Seconds between closing and settlement in all networks.
    uint32 public immutable challengePeriod;
    /// @notice Knows when secrets became public.
    SecretRegistry public immutable secretRegistry;
    /// @dev Its code is a zero byte and the creation code of TokenNetwork, which would not fit beside the code of this
    /// contract (EIP-170).
    address private immutable _creationCode;

    /// @notice The network of a token (zero for ETH); zero if there is none.
    mapping(address token => TokenNetwork) public tokenNetworks;
    /// @notice Whether an account has revoked a session key. For good: a key that leaked once stays leaked.
    mapping(address account => mapping(address signer => bool)) public revoked;

    /// @param challengePeriod_ Seconds: how long a side may be offline. 86,400 on public chains.
    constructor(uint32 challengePeriod_, SecretRegistry secretRegistry_) {
        if (challengePeriod_ == 0) revert ChallengePeriodZero();
        challengePeriod = challengePeriod_;
        secretRegistry = secretRegistry_;
        // The first eleven bytes make what follows them the code.
        bytes memory holder = bytes.concat(hex"600b5981380380925939f300", type(TokenNetwork).creationCode);
        address made;
        assembly ("memory-safe") {
            made := create(0, add(holder, 32), mload(holder))
            if iszero(made) { revert(0, 0) }
        }
        _creationCode = made;
    }

    /// @notice Creates the network of a token; anyone may. Its address depends on the token alone.
    /// @param token Zero for ETH.
    function createTokenNetwork(address token) external returns (TokenNetwork tokenNetwork) {
        if (token != address(0) && token.code.length == 0) revert TokenUnusable(token);
        if (address(tokenNetworks[token]) != address(0)) {
            revert TokenNetworkExists(token, address(tokenNetworks[token]));
        }
        bytes memory arguments = abi.encode(token, challengePeriod, secretRegistry);
        address holder = _creationCode;
        assembly ("memory-safe") {
            let data := mload(0x40)
            let size := sub(extcodesize(holder), 1)
            extcodecopy(holder, data, 1, size)
            mcopy(add(data, size), add(arguments, 32), mload(arguments))
            tokenNetwork := create2(0, data, add(size, mload(arguments)), 0)
            if iszero(tokenNetwork) { revert(0, 0) }
        }
        tokenNetworks[token] = tokenNetwork;
        emit TokenNetworkCreated(token, address(tokenNetwork));
    }

    /// @notice Takes back, for good, what let `signer` sign for the caller: it is registered in no channel and opens none
    /// from now on. In channels in which it is registered it goes on counting, or the caller could take back what it has
    /// paid there: close those.
    function revoke(address signer) external {
        revoked[msg.sender][signer] = true;
        emit SessionKeyRevoked(msg.sender, signer);
    }

    /// @notice Whether `account` lets `signer` sign for it now.
    /// @param delegation Until when, in Unix seconds (8 bytes), and the account's signature of `Delegation`: by its key, or
    /// whatever its contract takes (ERC-1271).
    function isDelegated(address account, address signer, bytes calldata delegation) external view returns (bool) {
        if (delegation.length < 8 || revoked[account][signer]) return false;
        uint64 validUntil = uint64(bytes8(delegation));
        if (block.timestamp > validUntil) return false;
        bytes32 structHash = keccak256(abi.encode(DELEGATION_TYPEHASH, account, signer, validUntil));
        return isSignedBy(account, _digest(structHash), delegation[8:]);
    }

    /// @notice Whether `account` has signed a digest: by its key, which also holds for an account that delegated to code
    /// (EIP-7702), or by its contract (ERC-1271), whose answer may be another one later.
    function isSignedBy(address account, bytes32 digest, bytes calldata signature) public view returns (bool) {
        address signer = _signerOf(digest, signature);
        if (signer != address(0) && signer == account) return true;
        if (account.code.length == 0) return false;
        bytes memory call_ = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        bytes32 magic = bytes32(IERC1271.isValidSignature.selector);
        bool good;
        // The whole answer: a contract that takes any call may begin its own with the same four bytes.
        assembly ("memory-safe") {
            good := staticcall(gas(), account, add(call_, 32), mload(call_), 0, 32)
            good := and(good, and(eq(returndatasize(), 32), eq(mload(0), magic)))
        }
        return good;
    }

    function _domainName() internal pure override returns (string memory) {
        return "Sluice TokenNetworkRegistry";
    }
}
