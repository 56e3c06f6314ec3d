// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {LockTree} from "./LockTree.sol";
import {Payouts} from "./Payouts.sol";
import {SecretRegistry} from "./SecretRegistry.sol";
import {Settlement} from "./Settlement.sol";
import {Signatures} from "./Signatures.sol";
import {TokenNetworkRegistry} from "./TokenNetworkRegistry.sol";

/// @title The payment channels of one token.
/// @notice Two accounts deposit, pay each other by signed balance proofs off chain, and divide the deposits in the end:
/// at once if both sign, else by closing, a time in which the other side can answer, and the settlement. What hangs on
/// secrets is unlocked after that.
/// @dev A pair of accounts has one channel at a time; `epoch` counts them and is part of the channel's id. Of a closed
/// channel only a hash of both sides' balances is stored, later calls hand them in again.
contract TokenNetwork is Payouts, Signatures {
    // ------------------------------------------------------------------------------------------------------- types

    /// @notice What one side has transferred to the other in all, and what of it is still locked. All zero at first.
    struct Balance {
        uint64 nonce;
        /// @dev Includes what the hash chain pays.
        uint128 transferred;
        uint128 locked;
        bytes32 locksroot;
    }

    /// @notice A balance proof as one side signed it; all zero and empty for none.
    struct Proof {
        /// @dev Grows by one with each proof of a side, from 1.
        uint64 nonce;
        uint128 transferred;
        /// @dev Sum of the amounts under `locksroot`.
        uint128 locked;
        bytes32 locksroot;
        /// @dev keccak256(abi.encode(anchor, unit u128, length u32)) of a hash chain; zero for none.
        bytes32 stream;
        /// @dev Binds the rest of the message; never opened here.
        bytes32 ref;
        /// @dev The secret of which the signed `channel` is made: keccak256(abi.encode(channelId, watch)).
        bytes32 watch;
        bytes signature;
        /// @dev abi.encode(preimage b32, unit u128, length u32, count u32): `count` hashes lead to the anchor, each pays
        /// `unit`. Empty for none.
        bytes steps;
    }

    /// @notice What is left of one side's locks after the settlement; all zero for nothing.
    struct Left {
        uint128 locked;
        bytes32 locksroot;
    }

    /// @notice The receiver's word that it will not claim a lock, signed by it as `Release`.
    struct Release {
        /// @dev The lock's leaf hash.
        bytes32 lock;
        bytes signature;
    }

    /// @notice An ERC-2612 permit for this contract; `deadline` 0 for none.
    struct Permit {
        uint256 value;
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @notice Where the newest channel of a pair stands.
    enum State {
        None,
        Open,
        Closed,
        Settled
    }

    /// @notice The newest channel of a pair. Side 1 is the lower address.
    struct ChannelView {
        bytes32 channelId;
        uint40 epoch;
        State state;
        uint128 deposit1;
        uint128 deposit2;
        uint128 withdrawn1;
        uint128 withdrawn2;
        /// @dev Unix seconds, of a closed channel.
        uint40 settleAt;
        bool consented;
        /// @dev What others have paid in for each side.
        uint128 gift1;
        uint128 gift2;
    }

    /// @dev A pair's slot and what follows from it.
    struct Pair {
        bytes32 key;
        /// @dev The channel's id.
        bytes32 id;
        /// @dev deposit1 u104 | deposit2 u104 | epoch u40 | flags u8.
        uint256 slot;
    }

    // ------------------------------------------------------------------------------------------------------ events

    /// @notice A channel was opened. `consented`: it can't be closed without a proof.
    event ChannelOpened(
        bytes32 indexed channelId,
        address indexed participant1,
        address indexed participant2,
        uint40 epoch,
        bool consented
    );
    /// @notice `totalDeposit` of `participant` is in the channel now.
    event ChannelNewDeposit(bytes32 indexed channelId, address indexed participant, uint256 totalDeposit);
    /// @notice `payer` paid in for `participant`, which gets `totalGift` in all when the channel ends, beside its deposit.
    event ChannelGift(
        bytes32 indexed channelId, address indexed participant, address indexed payer, uint256 totalGift
    );
    /// @notice `signer` signs for `participant` in this channel, as long as it lives.
    event SessionKeyAdded(bytes32 indexed channelId, address indexed participant, address signer);
    /// @notice `participant` has taken `totalWithdraw` out of the open channel so far.
    event ChannelWithdraw(bytes32 indexed channelId, address indexed participant, uint256 totalWithdraw);
    /// @notice `closer` closed the channel with what its partner signed. Until `settleAt` the partner can answer.
    event ChannelClosed(
        bytes32 indexed channelId, address indexed closer, Balance fromPartner, bytes32 watch, uint256 settleAt
    );
    /// @notice The partner of `closer` showed what `closer` signed.
    event NonClosingBalanceProofUpdated(bytes32 indexed channelId, address indexed closer, Balance fromCloser);
    /// @notice These locks of `sender` go back to it, whatever becomes public.
    event LocksReleased(bytes32 indexed channelId, address indexed sender, bytes32[] locks);
    /// @notice The channel ended. `locked1` and `locked2` are left of each side's locks.
    event ChannelSettled(
        bytes32 indexed channelId, uint256 paid1, uint256 paid2, uint256 locked1, uint256 locked2, bool cooperative
    );
    /// @notice Locks of `sender` were unlocked: those of the bitmap `numbers`. What was left with no lock for it is part
    /// of `toSender`.
    event ChannelUnlocked(
        bytes32 indexed channelId, address indexed sender, uint256 toReceiver, uint256 toSender, uint256 numbers
    );

    // ------------------------------------------------------------------------------------------------------ errors

    /// @notice The partner is missing, or is the participant.
    error PartnerUnusable(address partner);
    /// @notice The pair has a channel that is not settled yet.
    error PairHasChannel(bytes32 channelId);
    /// @notice The pair's channel is not open.
    error NoOpenChannel(bytes32 channelId);
    /// @notice The pair's channel is not closed, or was settled.
    error NoClosedChannel(bytes32 channelId);
    /// @notice A total deposit must grow, and stay below 2^104. For what others pay in: so must what they have paid.
    error TotalDepositOutOfRange(uint256 totalDeposit, uint256 present, uint256 largest);
    /// @notice A total withdrawal must grow, and both sides' may not exceed the deposits.
    error TotalWithdrawOutOfRange(uint256 totalWithdraw, uint256 present, uint256 largest);
    /// @notice What was signed counts until `validUntil` only.
    error SignatureExpired(uint256 validUntil, uint256 timestamp);
    /// @notice The balances of a cooperative close must add up to what the channel holds.
    error BalancesNotTotal(uint256 sum, uint256 total);
    /// @notice The channel was opened by consent and can't be closed without a proof.
    error ProofMissing(bytes32 channelId);
    /// @notice The proof is not newer than the one known, nor does it pay more by the steps of its hash chain.
    error NonceNotIncreased(uint64 nonce, uint64 known);
    /// @notice The balances handed in are not those that the channel was closed with.
    error WrongBalances(bytes32 channelId);
    /// @notice The time to answer a closing ended at `settleAt`.
    error UpdateTooLate(uint256 settleAt);
    /// @notice The channel can be settled from `opensAt` on.
    error SettleTooEarly(uint256 opensAt);
    /// @notice The steps don't lead to the anchor that was signed, or are too many.
    error StepsInvalid(bytes32 stream, uint256 count);
    /// @notice The steps pay more than 128 bits hold.
    error TransferredTooLarge(uint256 transferred);
    /// @notice The locks handed in are not those left in the channel.
    error WrongLocks(bytes32 channelId);
    /// @notice None of the locks handed in is still to be unlocked.
    error NothingToUnlock(bytes32 channelId);
    /// @notice There is nothing to register.
    error NoReleases();
    /// @notice ETH has neither allowance nor permit: open the channel yourself.
    error NotForEth();

    // --------------------------------------------------------------------------------------------------- constants

    bytes32 private constant PROOF_TYPEHASH = keccak256(
        "BalanceProof(bytes32 channel,uint64 nonce,uint128 transferred,uint128 locked,bytes32 locksroot,bytes32 stream,bytes32 reference)"
    );
    bytes32 private constant CLOSE_TYPEHASH = keccak256("Close(bytes32 channelId,bytes32 proof,bytes32 steps)");
    bytes32 private constant UPDATE_TYPEHASH = keccak256("Update(bytes32 channelId,bytes32 proof,bytes32 steps)");
    bytes32 private constant WITHDRAW_TYPEHASH =
        keccak256("Withdraw(bytes32 channelId,address participant,uint128 totalWithdraw,uint64 validUntil)");
    bytes32 private constant COOPERATIVE_CLOSE_TYPEHASH =
        keccak256("CooperativeClose(bytes32 channelId,uint128 balance1,uint128 balance2,uint64 validUntil)");
    bytes32 private constant RELEASE_TYPEHASH = keccak256("Release(bytes32 channelId,address sender,bytes32 lock)");
    bytes32 private constant OPEN_TYPEHASH =
        keccak256("Open(bytes32 channelId,uint128 deposit,uint64 validUntil,bytes32 consent)");

    uint256 private constant MOST_STEPS = 1024;

    // A pair's slot.
    uint256 private constant OPEN = 1;
    uint256 private constant CLOSED = 2;
    /// @dev The channel's slot of withdrawals is in use.
    uint256 private constant WITHDRAWN = 4;
    uint256 private constant CONSENTED = 8;
    /// @dev The channel's slot of gifts is in use.
    uint256 private constant GIFTED = 16;
    uint256 private constant EPOCH = ((1 << 40) - 1) << 8;
    uint256 private constant EPOCH_ONE = 1 << 8;
    uint256 private constant LARGEST_DEPOSIT = (1 << 104) - 1;

    // A closing's slot: partly1 u1 | partly2 u1 | released1 u1 | released2 u1 | time u36 | commitment u216. Before the
    // settlement the time is when it may be, and the commitment one to both balances; after, when it was, and one to what
    // is left of the locks. Partly: of this side's locks some were unlocked, the bitmap says which. Released: some were
    // given back by their receiver.
    uint256 private constant COMMITMENT = 0xffffffffffffffffffffffffffffffffffffffffffffffffffffff;
    uint256 private constant TIME = (1 << 36) - 1;
    uint256 private constant PARTLY_1 = 1 << 255;
    uint256 private constant PARTLY_2 = 1 << 254;
    uint256 private constant RELEASED_1 = 1 << 253;
    uint256 private constant RELEASED_2 = 1 << 252;

    /// @notice The ERC-20; zero for ETH.
    address public immutable token;
    /// @notice Seconds between a closing and the settlement, and between the settlement and the return of locks.
    uint32 public immutable challengePeriod;
    /// @notice Knows when secrets became public.
    SecretRegistry public immutable secretRegistry;
    /// @notice Made this network, and says which session keys accounts have delegated to.
    TokenNetworkRegistry public immutable registry;

    // ----------------------------------------------------------------------------------------------------- storage

    mapping(bytes32 pair => uint256) private _pairs;
    /// @dev withdrawn1 u104 | withdrawn2 u104.
    mapping(bytes32 channelId => uint256) private _withdrawals;
    /// @dev gift1 u104 | gift2 u104. Apart from deposits: what agreements were made about stays what it was.
    mapping(bytes32 channelId => uint256) private _gifts;
    mapping(bytes32 channelId => uint256) private _closings;
    /// @dev Bitmap of the locks that are unlocked, while others are not.
    mapping(bytes32 channelId => mapping(address sender => uint256)) private _unlocked;
    /// @dev By leaf hash: the locks that their receiver has given back.
    mapping(bytes32 channelId => mapping(address sender => mapping(bytes32 lock => bool))) private _released;

    /// @notice Whether a key signs for an account in a channel, beside the account's own. Once it does it always will: on
    /// that the other side relies.
    mapping(bytes32 channelId => mapping(address account => mapping(address signer => bool))) public sessionKeys;

    bool private transient _batching;
    /// @dev What the calls of a batch have not used of its ETH.
    uint256 private transient _unspent;

    /// @dev Deployed by the TokenNetworkRegistry.
    constructor(address token_, uint32 challengePeriod_, SecretRegistry secretRegistry_) {
        registry = TokenNetworkRegistry(msg.sender);
        token = token_;
        challengePeriod = challengePeriod_;
        secretRegistry = secretRegistry_;
    }

    // ------------------------------------------------------------------------------------------------ in and out

    /// @notice Opens a channel between the caller and `partner`, and pays in the caller's deposit.
    /// @param amount The deposit; may be zero. ETH is sent along, a token needs an allowance.
    /// @param watch What the partner's consent was signed with.
    /// @param consent The partner's signature of its first balance proof (nonce 1, all else zero), with which the
    /// channel can be closed from the start and not without; empty for a channel without such proofs. By its own key, or by
    /// a session key with the delegation behind (see `TokenNetworkRegistry.isDelegated`), which is registered by that.
    /// @return id The channel's id.
    function open(address partner, uint128 amount, bytes32 watch, bytes calldata consent)
        external
        payable
        nonReentrant
        returns (bytes32 id)
    {
        id = _open(msg.sender, partner, amount, watch, consent);
        _pull(msg.sender, amount);
    }

    /// @notice Opens a channel for `participant`, who signed `Open`; anyone may. The deposit is the participant's, by
    /// allowance or permit. Not for ETH.
    /// @dev `Open` has the keccak-256 of `watch` and `consent` one behind the other, zero without consent: who hands it in
    /// can't leave the consent away.
    /// @param signature By the participant's own key, its contract (ERC-1271), or a session key with the delegation behind,
    /// which is registered by that.
    /// @param permit Used if it can be; the allowance decides, for anyone may have used the permit before.
    function openFor(
        address participant,
        address partner,
        uint128 amount,
        uint64 validUntil,
        bytes calldata signature,
        bytes32 watch,
        bytes calldata consent,
        Permit calldata permit
    ) external payable nonReentrant returns (bytes32 id) {
        if (token == address(0)) revert NotForEth();
        _requireTime(validUntil);
        id = _open(participant, partner, amount, watch, consent);
        bytes32 bound = consent.length == 0 ? bytes32(0) : keccak256(bytes.concat(watch, consent));
        bytes32 digest = _digest(keccak256(abi.encode(OPEN_TYPEHASH, id, amount, validUntil, bound)));
        if (!_isOpenedBy(id, participant, digest, signature) && !registry.isSignedBy(participant, digest, signature)) {
            revert NotSignedBy(participant);
        }
        if (permit.deadline != 0) {
            try IERC20Permit(token).permit(
                participant, address(this), permit.value, permit.deadline, permit.v, permit.r, permit.s
            ) {} catch {}
        }
        _pull(participant, amount);
    }

    /// @notice Raises the deposit of `participant` in its open channel with `partner`. Anyone may pay, but from others than
    /// the participant it is a gift: kept apart and paid to the participant when the channel ends, so that nobody else
    /// changes what both sides reckon with.
    /// @param totalDeposit What the deposit is to be in all, gifts included if the call is not the participant's.
    function deposit(address participant, address partner, uint128 totalDeposit) external payable nonReentrant {
        Pair memory pair = _openPair(participant, partner);
        bool first = participant < partner;
        (uint256 deposit1, uint256 deposit2) = _deposits(pair.slot);
        uint256 present = first ? deposit1 : deposit2;
        if (msg.sender != participant) {
            _pull(msg.sender, _noteGift(pair, participant, first, present, totalDeposit));
            return;
        }
        if (totalDeposit <= present || totalDeposit > LARGEST_DEPOSIT) {
            revert TotalDepositOutOfRange(totalDeposit, present, LARGEST_DEPOSIT);
        }
        uint256 amount = totalDeposit - present;
        _pairs[pair.key] = pair.slot + (amount << (first ? 152 : 48));
        emit ChannelNewDeposit(pair.id, participant, totalDeposit);
        _pull(msg.sender, amount);
    }

    /// @notice Registers a session key of `participant` for its open channel with `partner`: what it signs counts there from
    /// then on, whatever becomes of the delegation. By the participant itself, or by anyone with its delegation.
    /// @param delegation See `TokenNetworkRegistry.isDelegated`; empty if the participant is the caller.
    function addSessionKey(address participant, address partner, address signer, bytes calldata delegation)
        external
        payable
        nonReentrant
    {
        _takeValue(0);
        bytes32 id = _openPair(participant, partner).id;
        if (
            signer == address(0)
                || (msg.sender != participant && !registry.isDelegated(participant, signer, delegation))
        ) revert NotSignedBy(participant);
        _addKey(id, participant, signer);
    }

    /// @notice Pays `participant` out of the open channel, as both agreed. An empty signature stands for the caller's.
    /// @param totalWithdraw What the participant is to have taken out in all.
    function withdraw(
        address participant,
        address partner,
        uint128 totalWithdraw,
        uint64 validUntil,
        bytes calldata participantSignature,
        bytes calldata partnerSignature
    ) external payable nonReentrant {
        _takeValue(0);
        _requireTime(validUntil);
        Pair memory pair = _openPair(participant, partner);
        {
            bytes32 structHash =
                keccak256(abi.encode(WITHDRAW_TYPEHASH, pair.id, participant, totalWithdraw, validUntil));
            _requireConsent(pair.id, participant, structHash, participantSignature);
            _requireConsent(pair.id, partner, structHash, partnerSignature);
        }
        uint256 present = _noteWithdrawal(pair, participant < partner, totalWithdraw);
        emit ChannelWithdraw(pair.id, participant, totalWithdraw);
        _push(token, participant, totalWithdraw - present);
    }

    // -------------------------------------------------------------------------------------------------- the ending

    /// @notice Ends an open channel at once, as both agreed. An empty signature stands for the caller's. The balances add up
    /// to what both sides have in the channel; what others gave them is paid on top.
    /// @dev What is signed has the balance of the lower address first, in whichever order the sides are named here.
    function closeCooperatively(
        address participant1,
        address participant2,
        uint128 balance1,
        uint128 balance2,
        uint64 validUntil,
        bytes calldata signature1,
        bytes calldata signature2
    ) external payable nonReentrant {
        _takeValue(0);
        _requireTime(validUntil);
        Pair memory pair = _openPair(participant1, participant2);
        (uint128 paid1, uint128 paid2) = participant1 < participant2 ? (balance1, balance2) : (balance2, balance1);
        {
            bytes32 structHash = keccak256(abi.encode(COOPERATIVE_CLOSE_TYPEHASH, pair.id, paid1, paid2, validUntil));
            _requireConsent(pair.id, participant1, structHash, signature1);
            _requireConsent(pair.id, participant2, structHash, signature2);
        }
        _requireTotal(pair, uint256(balance1) + balance2);
        _endTogether(pair, participant1, participant2, paid1, paid2);
    }

    /// @notice Closes an open channel with what the partner of `closer` signed last.
    /// @param closerSignature Of `Close` by `closer`; empty if it is the caller.
    function close(address closer, address partner, Proof calldata proof, bytes calldata closerSignature)
        external
        payable
        nonReentrant
    {
        _takeValue(0);
        Pair memory pair = _openPair(closer, partner);
        Balance memory fromPartner;
        Balance memory fromCloser;
        bytes32 digest;
        bytes32 watch;
        if (proof.nonce != 0) {
            (fromPartner, digest) = _balance(pair.id, partner, proof);
            watch = proof.watch;
        } else {
            if (proof.signature.length != 0) revert NonceNotIncreased(0, 0);
            if (pair.slot & CONSENTED != 0) revert ProofMissing(pair.id);
        }
        _requireConsent(pair.id, closer, _shown(CLOSE_TYPEHASH, pair.id, digest, proof.steps), closerSignature);
        uint256 settleAt = block.timestamp + challengePeriod;
        _pairs[pair.key] = pair.slot ^ (OPEN | CLOSED);
        _closings[pair.id] = settleAt << 216 | _commitment(closer, fromPartner, fromCloser);
        emit ChannelClosed(pair.id, closer, fromPartner, watch, settleAt);
    }

    /// @notice Shows, after a closing, what the closer signed last. As often as with a newer proof, or more steps of the
    /// same proof's hash chain, until the channel may be settled.
    /// @param fromPartner What the channel was closed with.
    /// @param fromCloser What was shown so far.
    /// @param proof Of the closer.
    /// @param nonClosingSignature Of `Update` by `nonClosing`; empty if it is the caller.
    function update(
        address closer,
        address nonClosing,
        Balance calldata fromPartner,
        Balance calldata fromCloser,
        Proof calldata proof,
        bytes calldata nonClosingSignature
    ) external payable nonReentrant {
        _takeValue(0);
        (Pair memory pair, uint256 slot) = _closedPair(closer, nonClosing, fromPartner, fromCloser);
        uint256 settleAt = slot >> 216 & TIME;
        if (block.timestamp >= settleAt) revert UpdateTooLate(settleAt);
        if (proof.nonce < fromCloser.nonce) revert NonceNotIncreased(proof.nonce, fromCloser.nonce);
        (Balance memory shown, bytes32 digest) = _balance(pair.id, closer, proof);
        if (proof.nonce == fromCloser.nonce && !_paysMore(shown, fromCloser)) {
            revert NonceNotIncreased(proof.nonce, fromCloser.nonce);
        }
        // Else the closer could hand in an empty proof of the highest nonce, against which nothing helps.
        _requireConsent(pair.id, nonClosing, _shown(UPDATE_TYPEHASH, pair.id, digest, proof.steps), nonClosingSignature);
        _closings[pair.id] = slot & ~COMMITMENT | _commitment(closer, fromPartner, shown);
        emit NonClosingBalanceProofUpdated(pair.id, closer, shown);
    }

    /// @notice Notes, in a closed channel, which locks of `sender` its receiver has given back: they go back whatever proof
    /// was shown. Anyone may.
    function registerReleases(address sender, address receiver, Release[] calldata releases)
        external
        payable
        nonReentrant
    {
        _takeValue(0);
        Pair memory pair = _pair(sender, receiver);
        if (pair.slot & CLOSED == 0) revert NoClosedChannel(pair.id);
        // Looking for releases makes unlocking dearer: not for nothing.
        if (releases.length == 0) revert NoReleases();
        bytes32[] memory locks = new bytes32[](releases.length);
        for (uint256 i = 0; i < releases.length; ++i) {
            bytes32 lock = locks[i] = releases[i].lock;
            bytes32 digest = _digest(keccak256(abi.encode(RELEASE_TYPEHASH, pair.id, sender, lock)));
            _requireSigned(pair.id, receiver, digest, releases[i].signature);
            _released[pair.id][sender][lock] = true;
        }
        _closings[pair.id] |= sender < receiver ? RELEASED_1 : RELEASED_2;
        emit LocksReleased(pair.id, sender, locks);
    }

    /// @notice Ends a closed channel once the time to answer is over; anyone may. See `Settlement` for who gets what.
    /// @param fromPartner What the channel was closed with.
    /// @param fromCloser What the partner showed last; all zero for nothing.
    function settle(address closer, address partner, Balance calldata fromPartner, Balance calldata fromCloser)
        external
        payable
        nonReentrant
    {
        _takeValue(0);
        (Pair memory pair, uint256 slot) = _closedPair(closer, partner, fromPartner, fromCloser);
        if (block.timestamp < slot >> 216 & TIME) revert SettleTooEarly(slot >> 216 & TIME);
        (address side1, Balance calldata from1, address side2, Balance calldata from2) = closer < partner
            ? (closer, fromCloser, partner, fromPartner)
            : (partner, fromPartner, closer, fromCloser);
        (uint256 paid1, uint256 paid2, uint256 locked1, uint256 locked2) = _divide(pair, from1, from2);
        _end(pair);
        _closings[pair.id] = locked1 | locked2 == 0
            ? 0
            : slot & (RELEASED_1 | RELEASED_2) | block.timestamp << 216
                | _leftCommitment(locked1, from1.locksroot, locked2, from2.locksroot);
        emit ChannelSettled(pair.id, paid1, paid2, locked1, locked2, false);
        _push(token, side1, paid1);
        _push(token, side2, paid2);
    }

    /// @notice Pays out locks of `sender` that were left by a settlement, to whom they belong; anyone may.
    /// @param epoch Of the channel, which may not be the pair's newest.
    /// @param locked What is left of the sender's locks.
    /// @param other What is left of the receiver's.
    /// @param locks The sender's tree: locks to unlock, and hashes of the rest. See `LockTree`.
    function unlock(
        address sender,
        address receiver,
        uint40 epoch,
        uint128 locked,
        Left calldata other,
        bytes calldata locks
    ) external payable nonReentrant {
        _takeValue(0);
        bool first = sender < receiver;
        bytes32 id = first ? _id(sender, receiver, epoch) : _id(receiver, sender, epoch);
        uint256 slot = _closings[id];
        // The sender's flags in the place of side 1's.
        uint256 flags = first ? slot : slot << 1;
        LockTree.Walk memory walk;
        if (msg.sender != receiver) (walk.settledAt, walk.pause) = (slot >> 216 & TIME, challengePeriod);
        uint256 before = flags & PARTLY_1 != 0 ? _unlocked[id][sender] : 0;
        walk.closer = walk.done = before;
        if (flags & RELEASED_1 != 0) {
            walk.closer = type(uint256).max;
            walk.released = _slotOf(_released[id][sender]);
        }
        LockTree.read(walk, locks, secretRegistry);
        if (slot & COMMITMENT != _leftOf(first, locked, walk.root, other)) revert WrongLocks(id);
        if (walk.hidden) {
            if (walk.done == before) revert NothingToUnlock(id);
            _unlocked[id][sender] = walk.done;
        }
        _closings[id] = _slotAfter(slot, first, LockTree.divide(walk, locked), walk.root, other);
        emit ChannelUnlocked(id, sender, walk.toReceiver, walk.toSender, walk.done ^ before);
        _push(token, receiver, walk.toReceiver);
        _push(token, sender, walk.toSender);
    }

    // ------------------------------------------------------------------------------------------------------- more

    /// @notice Makes many calls at once, all or none, each as if the caller had made it alone. ETH sent along is for
    /// those that take a deposit, to the last wei.
    function batch(bytes[] calldata calls) external payable {
        if (_entered != 0 || _batching) revert Reentered();
        _batching = true;
        _unspent = msg.value;
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool success, bytes memory answer) = address(this).delegatecall(calls[i]);
            if (!success) {
                assembly ("memory-safe") {
                    revert(add(answer, 32), mload(answer))
                }
            }
        }
        if (_unspent != 0) revert WrongValue(msg.value, msg.value - _unspent);
        _batching = false;
    }

    /// @notice Takes out the caller's credit.
    /// @param to Who gets it.
    function withdrawCredit(address to) external payable nonReentrant {
        _takeValue(0);
        _payCredit(token, to);
    }

    // ------------------------------------------------------------------------------------------------------- views

    /// @notice What `account` can withdraw: the pushes to it that failed.
    function credit(address account) external view returns (uint256) {
        return _credit[token][account];
    }

    /// @notice The newest channel of two accounts, named in either order.
    function channel(address a, address b) external view returns (ChannelView memory shown) {
        Pair memory pair = _pair(a, b);
        shown.epoch = uint40(_epoch(pair.slot));
        if (shown.epoch == 0) return shown;
        shown.channelId = pair.id;
        shown.state = pair.slot & OPEN != 0 ? State.Open : pair.slot & CLOSED != 0 ? State.Closed : State.Settled;
        (uint256 deposit1, uint256 deposit2) = _deposits(pair.slot);
        (shown.deposit1, shown.deposit2) = (uint128(deposit1), uint128(deposit2));
        (uint256 withdrawn1, uint256 withdrawn2) = _withdrawn(pair);
        (shown.withdrawn1, shown.withdrawn2) = (uint128(withdrawn1), uint128(withdrawn2));
        if (shown.state == State.Closed) shown.settleAt = uint40(_closings[pair.id] >> 216 & TIME);
        shown.consented = pair.slot & CONSENTED != 0;
        (uint256 gift1, uint256 gift2) = _giftsOf(pair);
        (shown.gift1, shown.gift2) = (uint128(gift1), uint128(gift2));
    }

    /// @notice The id of a channel of two accounts in this network, named in either order.
    /// @param epoch 1 for their first.
    function channelId(address a, address b, uint40 epoch) public view returns (bytes32) {
        return a < b ? _id(a, b, epoch) : _id(b, a, epoch);
    }

    // ------------------------------------------------------------------------------------------------------- pairs

    function _pair(address a, address b) private view returns (Pair memory pair) {
        (address low, address high) = a < b ? (a, b) : (b, a);
        pair.key = keccak256(abi.encode(low, high));
        pair.slot = _pairs[pair.key];
        pair.id = _id(low, high, _epoch(pair.slot));
    }

    /// @dev keccak256(abi.encode(address(this), low, high, epoch)), past the free memory pointer.
    function _id(address low, address high, uint256 epoch) private view returns (bytes32 id) {
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, address())
            mstore(add(data, 32), shr(96, shl(96, low)))
            mstore(add(data, 64), shr(96, shl(96, high)))
            mstore(add(data, 96), epoch)
            id := keccak256(data, 128)
        }
    }

    function _openPair(address a, address b) private view returns (Pair memory pair) {
        pair = _pair(a, b);
        if (pair.slot & OPEN == 0) revert NoOpenChannel(pair.id);
    }

    function _closedPair(address closer, address partner, Balance calldata fromPartner, Balance calldata fromCloser)
        private
        view
        returns (Pair memory pair, uint256 slot)
    {
        pair = _pair(closer, partner);
        if (pair.slot & CLOSED == 0) revert NoClosedChannel(pair.id);
        slot = _closings[pair.id];
        if (slot & COMMITMENT != _commitment(closer, fromPartner, fromCloser)) revert WrongBalances(pair.id);
    }

    function _open(address participant, address partner, uint128 amount, bytes32 watch, bytes calldata consent)
        private
        returns (bytes32 id)
    {
        if (partner == address(0) || partner == participant) revert PartnerUnusable(partner);
        if (amount > LARGEST_DEPOSIT) revert TotalDepositOutOfRange(amount, 0, LARGEST_DEPOSIT);
        bool first = participant < partner;
        (address low, address high) = first ? (participant, partner) : (partner, participant);
        bytes32 key = keccak256(abi.encode(low, high));
        uint256 slot = _pairs[key];
        if (slot & (OPEN | CLOSED) != 0) revert PairHasChannel(_id(low, high, _epoch(slot)));
        slot = (slot & EPOCH) + EPOCH_ONE | OPEN | uint256(amount) << (first ? 152 : 48);
        uint40 epoch = uint40(_epoch(slot));
        id = _id(low, high, epoch);
        if (consent.length != 0) slot |= CONSENTED;
        _pairs[key] = slot;
        emit ChannelOpened(id, low, high, epoch, consent.length != 0);
        if (consent.length != 0) {
            bytes32 named = keccak256(abi.encode(id, watch));
            bytes32 digest = _digest(keccak256(abi.encode(PROOF_TYPEHASH, named, 1, 0, 0, 0, 0, 0)));
            // By a key, never by a contract: with this proof the channel can be closed for sure.
            if (!_isOpenedBy(id, partner, digest, consent)) revert NotSignedBy(partner);
        }
        if (amount != 0) emit ChannelNewDeposit(id, participant, amount);
    }

    /// @dev Leaves of a pair what the next channel needs.
    function _end(Pair memory pair) private {
        _pairs[pair.key] = pair.slot & EPOCH;
        if (pair.slot & WITHDRAWN != 0) _withdrawals[pair.id] = 0;
        if (pair.slot & GIFTED != 0) _gifts[pair.id] = 0;
    }

    /// @dev Ends a channel as both sides agreed, side 1 first.
    function _endTogether(Pair memory pair, address a, address b, uint256 paid1, uint256 paid2) private {
        (uint256 gift1, uint256 gift2) = _giftsOf(pair);
        _end(pair);
        unchecked {
            (paid1, paid2) = (paid1 + gift1, paid2 + gift2);
        }
        emit ChannelSettled(pair.id, paid1, paid2, 0, 0, true);
        (uint256 paidA, uint256 paidB) = a < b ? (paid1, paid2) : (paid2, paid1);
        _push(token, a, paidA);
        _push(token, b, paidB);
    }

    function _epoch(uint256 slot) private pure returns (uint256) {
        return (slot & EPOCH) >> 8;
    }

    function _deposits(uint256 slot) private pure returns (uint256, uint256) {
        return (slot >> 152, slot >> 48 & LARGEST_DEPOSIT);
    }

    function _withdrawn(Pair memory pair) private view returns (uint256, uint256) {
        if (pair.slot & WITHDRAWN == 0) return (0, 0);
        uint256 slot = _withdrawals[pair.id];
        return (slot >> 104, slot & LARGEST_DEPOSIT);
    }

    function _giftsOf(Pair memory pair) private view returns (uint256, uint256) {
        if (pair.slot & GIFTED == 0) return (0, 0);
        uint256 slot = _gifts[pair.id];
        return (slot >> 104, slot & LARGEST_DEPOSIT);
    }

    /// @dev Notes what others have given to a side in all: `total` without the side's own deposit.
    /// @return amount What is given now.
    function _noteGift(Pair memory pair, address participant, bool first, uint256 own, uint256 total)
        private
        returns (uint256 amount)
    {
        (uint256 gift1, uint256 gift2) = _giftsOf(pair);
        (uint256 present, uint256 others) = first ? (gift1, gift2) : (gift2, gift1);
        if (total <= own + present || total > own + LARGEST_DEPOSIT) {
            revert TotalDepositOutOfRange(total, own + present, own + LARGEST_DEPOSIT);
        }
        total -= own;
        _gifts[pair.id] = first ? total << 104 | others : others << 104 | total;
        if (pair.slot & GIFTED == 0) _pairs[pair.key] = pair.slot | GIFTED;
        emit ChannelGift(pair.id, participant, msg.sender, total);
        return total - present;
    }

    /// @dev Returns what the side had taken out before.
    function _noteWithdrawal(Pair memory pair, bool first, uint256 total) private returns (uint256 present) {
        (uint256 deposit1, uint256 deposit2) = _deposits(pair.slot);
        (uint256 withdrawn1, uint256 withdrawn2) = _withdrawn(pair);
        uint256 others;
        (present, others) = first ? (withdrawn1, withdrawn2) : (withdrawn2, withdrawn1);
        uint256 largest = deposit1 + deposit2 - others;
        if (largest > LARGEST_DEPOSIT) largest = LARGEST_DEPOSIT;
        if (total <= present || total > largest) revert TotalWithdrawOutOfRange(total, present, largest);
        _withdrawals[pair.id] = first ? total << 104 | others : others << 104 | total;
        if (pair.slot & WITHDRAWN == 0) _pairs[pair.key] = pair.slot | WITHDRAWN;
    }

    // -------------------------------------------------------------------------------------------------- commitments

    function _commitment(address closer, Balance memory fromPartner, Balance memory fromCloser)
        private
        pure
        returns (uint256)
    {
        return uint256(keccak256(abi.encode(closer, fromPartner, fromCloser))) & COMMITMENT;
    }

    /// @dev To abi.encode(locked1, root1, locked2, root2), a root being zero where nothing is locked.
    function _leftCommitment(uint256 locked1, bytes32 root1, uint256 locked2, bytes32 root2)
        private
        pure
        returns (uint256 commitment)
    {
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, locked1)
            mstore(add(data, 32), mul(root1, iszero(iszero(locked1))))
            mstore(add(data, 64), locked2)
            mstore(add(data, 96), mul(root2, iszero(iszero(locked2))))
            commitment := and(keccak256(data, 128), COMMITMENT)
        }
    }

    /// @dev A closing's slot after some of a side's locks were unlocked and `locked` is left of them.
    function _slotAfter(uint256 slot, bool first, uint256 locked, bytes32 root, Left calldata other)
        private
        pure
        returns (uint256)
    {
        if (locked | other.locked == 0) return 0;
        uint256 partly = first ? PARTLY_1 : PARTLY_2;
        slot = locked != 0 ? slot | partly : slot & ~partly;
        return slot & ~COMMITMENT | _leftOf(first, locked, root, other);
    }

    function _slotOf(mapping(bytes32 => bool) storage map) private pure returns (uint256 slot) {
        assembly ("memory-safe") {
            slot := map.slot
        }
    }

    /// @dev The same as `_leftCommitment`, by sender and receiver.
    function _leftOf(bool senderIs1, uint256 locked, bytes32 root, Left calldata other) private pure returns (uint256) {
        return senderIs1
            ? _leftCommitment(locked, root, other.locked, other.locksroot)
            : _leftCommitment(other.locked, other.locksroot, locked, root);
    }

    // ------------------------------------------------------------------------------------------------------- parts

    /// @dev Refuses what is neither signed for `account` nor, without a signature, called by it. A contract may sign for
    /// itself (ERC-1271): it says what it wants now, and by saying no it takes nothing from its partner.
    function _requireConsent(bytes32 id, address account, bytes32 structHash, bytes calldata signature) private view {
        if (signature.length == 0 && msg.sender == account) return;
        bytes32 digest = _digest(structHash);
        if (_isSigned(id, account, digest, signature)) return;
        if (account.code.length == 0 || !registry.isSignedBy(account, digest, signature)) revert NotSignedBy(account);
    }

    /// @dev Refuses a digest that was signed neither by the key of `account` nor by one registered for it. A contract's word
    /// does not do: what others have relied on must count whatever it says later.
    function _requireSigned(bytes32 id, address account, bytes32 digest, bytes calldata signature) private view {
        if (!_isSigned(id, account, digest, signature)) revert NotSignedBy(account);
    }

    function _isSigned(bytes32 id, address account, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool)
    {
        address signer = _signerOf(digest, signature);
        return signer != address(0) && (signer == account || sessionKeys[id][account][signer]);
    }

    /// @dev Whether an opening was signed by the key of `account`, or by a session key with its delegation behind, which is
    /// registered then.
    function _isOpenedBy(bytes32 id, address account, bytes32 digest, bytes calldata signature)
        private
        returns (bool)
    {
        if (signature.length < 65) return false;
        address signer = _signerOf(digest, signature[:65]);
        if (signer == address(0)) return false;
        if (signature.length == 65) return signer == account;
        if (!registry.isDelegated(account, signer, signature[65:])) return false;
        _addKey(id, account, signer);
        return true;
    }

    function _addKey(bytes32 id, address account, address signer) private {
        if (sessionKeys[id][account][signer]) return;
        sessionKeys[id][account][signer] = true;
        emit SessionKeyAdded(id, account, signer);
    }

    /// @dev What is signed for showing a proof: whoever hands it in can't leave the steps away.
    function _shown(bytes32 typehash, bytes32 id, bytes32 digest, bytes calldata steps) private pure returns (bytes32) {
        return keccak256(abi.encode(typehash, id, digest, steps.length == 0 ? bytes32(0) : keccak256(steps)));
    }

    /// @dev Whether a balance of the same proof pays more, by more steps. Of no proof there is none.
    function _paysMore(Balance memory shown, Balance calldata known) private pure returns (bool) {
        return shown.nonce != 0 && shown.locked == known.locked && shown.locksroot == known.locksroot
            && shown.transferred > known.transferred;
    }

    /// @dev Checks a balance proof and its steps.
    function _balance(bytes32 id, address signer, Proof calldata proof)
        private
        view
        returns (Balance memory balance, bytes32 digest)
    {
        digest = _digest(
            keccak256(
                abi.encode(
                    PROOF_TYPEHASH,
                    keccak256(abi.encode(id, proof.watch)),
                    proof.nonce,
                    proof.transferred,
                    proof.locked,
                    proof.locksroot,
                    proof.stream,
                    proof.ref
                )
            )
        );
        _requireSigned(id, signer, digest, proof.signature);
        balance = Balance(proof.nonce, proof.transferred, proof.locked, proof.locksroot);
        if (proof.steps.length != 0) balance.transferred = _withSteps(proof);
    }

    /// @dev What was transferred with the steps of the hash chain.
    function _withSteps(Proof calldata proof) private view returns (uint128) {
        (bytes32 node, uint128 unit, uint32 length, uint32 count) =
            abi.decode(proof.steps, (bytes32, uint128, uint32, uint32));
        if (count > length || count > MOST_STEPS) revert StepsInvalid(proof.stream, count);
        assembly ("memory-safe") {
            mstore(0, node)
            for { let i := 0 } lt(i, count) { i := add(i, 1) } {
                if iszero(staticcall(gas(), 2, 0, 32, 0, 32)) { revert(0, 0) }
            }
            node := mload(0)
        }
        if (keccak256(abi.encode(node, unit, length)) != proof.stream) revert StepsInvalid(proof.stream, count);
        uint256 transferred = proof.transferred + uint256(unit) * count;
        if (transferred > type(uint128).max) revert TransferredTooLarge(transferred);
        return uint128(transferred);
    }

    function _divide(Pair memory pair, Balance calldata from1, Balance calldata from2)
        private
        view
        returns (uint256, uint256, uint256, uint256)
    {
        (uint256 deposit1, uint256 deposit2) = _deposits(pair.slot);
        (uint256 withdrawn1, uint256 withdrawn2) = _withdrawn(pair);
        (uint256 gift1, uint256 gift2) = _giftsOf(pair);
        return Settlement.divide(
            Settlement.Side(deposit1 + gift1, withdrawn1, from1.transferred, from1.locked),
            Settlement.Side(deposit2 + gift2, withdrawn2, from2.transferred, from2.locked)
        );
    }

    function _requireTotal(Pair memory pair, uint256 sum) private view {
        (uint256 deposit1, uint256 deposit2) = _deposits(pair.slot);
        (uint256 withdrawn1, uint256 withdrawn2) = _withdrawn(pair);
        uint256 total = deposit1 + deposit2 - withdrawn1 - withdrawn2;
        if (sum != total) revert BalancesNotTotal(sum, total);
    }

    function _requireTime(uint64 validUntil) private view {
        if (block.timestamp > validUntil) revert SignatureExpired(validUntil, block.timestamp);
    }

    /// @dev Takes a deposit; the channel is noted before.
    function _pull(address from, uint256 amount) private {
        _takeValue(token == address(0) ? amount : 0);
        if (token != address(0) && amount != 0) _pullToken(token, from, amount);
    }

    /// @dev Takes ETH that was sent along: all of it, or as much as a batch has left.
    function _takeValue(uint256 expected) private {
        if (msg.value == 0 && expected == 0) return;
        if (!_batching) {
            if (msg.value != expected) revert WrongValue(msg.value, expected);
        } else {
            uint256 unspent = _unspent;
            if (unspent < expected) revert WrongValue(unspent, expected);
            unchecked {
                _unspent = unspent - expected;
            }
        }
    }

    function _domainName() internal pure override returns (string memory) {
        return "Sluice TokenNetwork";
    }
}
