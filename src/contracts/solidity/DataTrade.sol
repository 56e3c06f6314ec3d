// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Payouts} from "./Payouts.sol";
import {Sha256Tree} from "./Sha256Tree.sol";
import {TypedData} from "./TypedData.sol";

/// @title Escrow for data sold by the byte.
/// @notice A buyer deposits the price of an order, acknowledges bytes as they arrive, and the seller is paid in
/// proportion: by counts that the buyer records on chain, or by vouchers that the buyer signs and the seller redeems.
/// @dev An order's id is the EIP-712 hash of everything agreed, under the domain of the deployment: should the chain change
/// its id, open orders stay in reach, while what is signed binds the id that the chain has now. Callers hand in the order again with each call, the id
/// proves that it is the one created, and only what changes (and what `orders` shows) is stored: three slots.
contract DataTrade is Payouts, TypedData {
    // ------------------------------------------------------------------------------------------------------- types

    /// @notice Everything that the parties of an order agreed.
    struct Order {
        /// @dev Pays, and gets back what was not earned.
        address buyer;
        /// @dev Delivers, and is paid for it.
        address seller;
        /// @dev ERC-20 contract; zero for ETH.
        address token;
        /// @dev Session key whose acknowledgements count beside the buyer's own; zero for none.
        address ackSigner;
        /// @dev Price of all `totalData` bytes, in the token's smallest unit; below 2^104.
        uint256 price;
        /// @dev Bytes ordered, at least 1, below 2^48.
        uint64 totalData;
        /// @dev Leaves under `dataRoot`, of the whole item even if only a range is ordered; 0 without a root.
        uint64 chunks;
        /// @dev RFC 6962 root with SHA-256 over the item's chunks; 0 for live data, which has none.
        bytes32 dataRoot;
        /// @dev Unix seconds until which the seller has time to deliver.
        uint64 deadline;
        /// @dev Tells orders of equal terms apart.
        bytes32 salt;
    }

    /// @notice One order to settle, with the best voucher there is; `transferred` 0 and no signature without one.
    struct Settlement {
        Order order;
        uint64 transferred;
        bytes signature;
    }

    /// @notice Where an order stands.
    enum State {
        None,
        Open,
        Settled,
        Disputed
    }

    /// @dev Three slots: what the buyer's count needs | what completes `orders` | money and state.
    struct Stored {
        address buyer;
        uint48 totalData;
        uint48 transferred;
        address seller;
        uint32 startedFrom;
        uint32 deadline;
        uint104 deposit;
        uint104 paid;
        uint32 closeAt;
        State state;
        uint8 rated;
    }

    /// @dev One slot. `paid` of an order is below 2^104, so 2^5 orders of that size fit, and every real currency.
    struct Standing {
        uint112 weightedScore;
        uint112 weight;
        uint32 count;
    }

    /// @notice An order under the names that the data trade protocol gives its fields.
    struct OrderView {
        address buyer;
        address seller;
        uint64 total_data;
        uint64 data_transfered;
        bool is_finished;
        uint64 started_from;
        uint64 deadline;
    }

    /// @notice The money of an order.
    struct Account {
        /// @dev Deposited so far.
        uint256 deposit;
        /// @dev Paid to the seller so far, credit included.
        uint256 paid;
        /// @dev When the window that the buyer's close request opened ends; 0 without a request.
        uint64 closeAt;
        State state;
        bool ratedByBuyer;
        bool ratedBySeller;
    }

    /// @dev A sum on its way out.
    struct Payout {
        address token;
        address to;
        uint256 amount;
    }

    // ------------------------------------------------------------------------------------------------------ events

    /// @notice An order was created and `deposit` of its price paid in. Carries the terms, so that whoever lost them
    /// can find them again.
    event OrderCreated(
        bytes32 indexed id, address indexed buyer, address indexed seller, Order order, uint256 deposit
    );
    /// @notice `payer` raised the deposit by `amount` to `deposit`.
    event ToppedUp(bytes32 indexed id, address indexed payer, address indexed seller, uint256 amount, uint256 deposit);
    /// @notice The buyer recorded that it has the first `transferred` bytes.
    event TransferredUpdated(bytes32 indexed id, uint64 transferred);
    /// @notice The seller was paid `amount`, in all for the first `transferred` bytes; the order goes on.
    event Redeemed(
        bytes32 indexed id, address indexed buyer, address indexed seller, uint64 transferred, uint256 amount
    );
    /// @notice The buyer wants its money back; the seller has until `closeAt` to redeem what it holds.
    event CloseRequested(bytes32 indexed id, address indexed buyer, address indexed seller, uint64 closeAt);
    /// @notice The order finished: `paid` to the seller in all, `refunded` to the buyer.
    event Settled(
        bytes32 indexed id,
        address indexed buyer,
        address indexed seller,
        uint64 transferred,
        uint256 paid,
        uint256 refunded
    );
    /// @notice The seller signed chunk `index`, which is not under the root it sold; the order finished and the buyer
    /// got `refunded`, all that was not paid before.
    event Disputed(
        bytes32 indexed id, address indexed buyer, address indexed seller, uint64 index, uint256 refunded
    );
    /// @notice `rater` gave `ratee` a score of 1 to 5 for an order in which `paid` changed hands.
    event Rated(
        bytes32 indexed id,
        address indexed rater,
        address indexed ratee,
        address token,
        uint8 score,
        uint256 paid,
        bytes32 commentHash
    );

    // ------------------------------------------------------------------------------------------------------ errors

    /// @notice Only the order's buyer may call this.
    error NotTheBuyer(address caller, address buyer);
    /// @notice The seller is missing, or is the buyer.
    error SellerUnusable(address seller);
    /// @notice The price doesn't fit 104 bits.
    error PriceTooLarge(uint256 price, uint256 largest);
    /// @notice The order is for nothing, or for 2^48 bytes or more.
    error TotalDataOutOfRange(uint64 totalData, uint64 largest);
    /// @notice The deadline has passed, or lies beyond 2106.
    error DeadlineOutOfRange(uint64 deadline, uint256 timestamp, uint256 latest);
    /// @notice A root needs a number of chunks, and a number of chunks a root.
    error ChunksWithoutRoot(uint64 chunks, bytes32 dataRoot);
    /// @notice What is paid in is nothing, or more than what is open of the price.
    error DepositOutOfRange(uint256 amount, uint256 largest);
    /// @notice There is an order of exactly these terms; take another salt.
    error OrderIdTaken(bytes32 id);
    /// @notice There is no order of this id: never created here, or the terms handed in are not those agreed.
    error OrderNotFound(bytes32 id);
    /// @notice The order was settled or disputed before.
    error OrderAlreadyFinished(bytes32 id);
    /// @notice The order still runs.
    error OrderNotFinished(bytes32 id);
    /// @notice The count must grow.
    error TransferredNotIncreased(uint64 transferred, uint64 recorded);
    /// @notice The count is larger than the order.
    error TransferredBeyondTotal(uint64 transferred, uint64 totalData);
    /// @notice The voucher must be signed by the buyer or its session key; `signer` is 0 if the signature is malformed.
    error AckNotSignedByBuyer(address signer, address buyer, address ackSigner);
    /// @notice Neither count nor payment would grow.
    error NothingToRedeem(uint64 transferred, uint64 recorded);
    /// @notice Until `opensAt` only the seller may settle.
    error SettleTooEarly(uint256 opensAt);
    /// @notice The close was requested before.
    error CloseAlreadyRequested(uint64 closeAt);
    /// @notice Live data has no root to hold a chunk against.
    error OrderWithoutRoot(bytes32 id);
    /// @notice No tree of less than 2^64 leaves has so long a proof.
    error ProofTooLong(uint256 length);
    /// @notice The claim must be signed by the seller; `signer` is 0 if the signature is malformed.
    error ClaimNotSignedBySeller(address signer, address seller);
    /// @notice The chunk is under the root: nothing to dispute.
    error ChunkIsGenuine(bytes32 id, uint64 index);
    /// @notice Scores go from 1 to 5.
    error ScoreOutOfRange(uint8 score);
    /// @notice The rating must come from, or be signed by, one of the two sides.
    error RaterNotInvolved(address rater, address buyer, address seller);
    /// @notice This side has rated this order before.
    error AlreadyRated(bytes32 id, address rater);

    // --------------------------------------------------------------------------------------------------- constants

    bytes32 private constant ORDER_TYPEHASH = keccak256(
        "Order(address buyer,address seller,address token,address ackSigner,uint256 price,uint64 totalData,uint64 chunks,bytes32 dataRoot,uint64 deadline,bytes32 salt)"
    );
    bytes32 private constant ACK_TYPEHASH = keccak256("Ack(bytes32 orderId,uint64 transferred)");
    bytes32 private constant CLAIM_TYPEHASH =
        keccak256("ChunkClaim(bytes32 orderId,uint64 index,bytes32 leaf,bytes32 proofHash)");
    bytes32 private constant RATING_TYPEHASH = keccak256("Rating(bytes32 orderId,uint8 score,bytes32 commentHash)");

    uint8 private constant RATED_BY_BUYER = 1;
    uint8 private constant RATED_BY_SELLER = 2;

    /// @notice Seconds that the seller has after the deadline, or after a close request, to redeem what it holds.
    uint32 public immutable grace;

    /// @notice The chain's id at the deployment: that of the domain under which orders are named.
    uint256 public immutable originChainId = block.chainid;

    // ----------------------------------------------------------------------------------------------------- storage

    mapping(bytes32 id => Stored) private _orders;
    mapping(address token => mapping(address account => Standing)) private _standings;

    /// @param grace_ Seconds; see `grace`. Long enough for a seller that was offline and for a crowded chain: 3600 on
    /// public chains.
    constructor(uint32 grace_) {
        grace = grace_;
    }

    // -------------------------------------------------------------------------------------------------- both sides

    /// @notice Creates an order and pays in its deposit; ETH is sent along, a token needs an allowance.
    /// @param order The terms; the caller is the buyer.
    /// @param deposit What to pay in now, up to the price; zero only if the price is.
    /// @return id The order's id.
    function create(Order calldata order, uint256 deposit) external payable nonReentrant returns (bytes32 id) {
        if (msg.sender != order.buyer) revert NotTheBuyer(msg.sender, order.buyer);
        if (order.seller == address(0) || order.seller == order.buyer) revert SellerUnusable(order.seller);
        if (order.price > type(uint104).max) revert PriceTooLarge(order.price, type(uint104).max);
        if (order.totalData == 0 || order.totalData > type(uint48).max) {
            revert TotalDataOutOfRange(order.totalData, type(uint48).max);
        }
        // So that deadline + grace fits 32 bits too.
        uint256 latest = type(uint32).max - grace;
        if (order.deadline <= block.timestamp || order.deadline > latest) {
            revert DeadlineOutOfRange(order.deadline, block.timestamp, latest);
        }
        if ((order.chunks == 0) != (order.dataRoot == 0)) revert ChunksWithoutRoot(order.chunks, order.dataRoot);
        if (deposit > order.price || (deposit == 0 && order.price != 0)) revert DepositOutOfRange(deposit, order.price);

        id = orderId(order);
        Stored storage stored = _orders[id];
        if (stored.state != State.None) revert OrderIdTaken(id);
        stored.buyer = msg.sender;
        stored.totalData = uint48(order.totalData);
        stored.seller = order.seller;
        stored.startedFrom = uint32(block.timestamp);
        stored.deadline = uint32(order.deadline);
        stored.deposit = uint104(deposit);
        stored.state = State.Open;
        emit OrderCreated(id, order.buyer, order.seller, order, deposit);
        _pull(order.token, deposit);
    }

    /// @notice Raises the deposit of an open order; anyone may.
    /// @param amount What to add; the deposit never exceeds the price.
    function topUp(Order calldata order, uint256 amount) external payable nonReentrant {
        (bytes32 id, Stored storage stored) = _open(order);
        uint256 deposit = stored.deposit;
        uint256 largest = order.price - deposit;
        if (amount == 0 || amount > largest) revert DepositOutOfRange(amount, largest);
        deposit += amount;
        stored.deposit = uint104(deposit);
        emit ToppedUp(id, msg.sender, order.seller, amount, deposit);
        _pull(order.token, amount);
    }

    /// @notice Records that the buyer has the first `transferred` bytes. The seller is paid for them when it redeems or
    /// when the order is settled.
    function updateTransferred(bytes32 id, uint64 transferred) external {
        Stored storage stored = _orders[id];
        if (msg.sender != stored.buyer) {
            if (stored.buyer == address(0)) revert OrderNotFound(id);
            revert NotTheBuyer(msg.sender, stored.buyer);
        }
        if (transferred <= stored.transferred) revert TransferredNotIncreased(transferred, stored.transferred);
        if (transferred > stored.totalData) revert TransferredBeyondTotal(transferred, stored.totalData);
        if (stored.state != State.Open) revert OrderAlreadyFinished(id);
        stored.transferred = uint48(transferred);
        emit TransferredUpdated(id, transferred);
    }

    /// @notice Pays the seller what a voucher is worth beyond what was paid before; the order goes on. Anyone may call.
    /// @param transferred Bytes that the voucher acknowledges; 0 to be paid for the count on chain.
    /// @param signature Of `Ack` by the buyer or its session key; empty for the count on chain.
    function redeem(Order calldata order, uint64 transferred, bytes calldata signature) external nonReentrant {
        (bytes32 id, Stored storage stored) = _open(order);
        uint64 recorded = stored.transferred;
        uint64 count = _count(order, id, recorded, transferred, signature);
        uint256 paid = stored.paid;
        uint256 due = _earned(order, stored.deposit, count);
        if (count == recorded && due == paid) revert NothingToRedeem(transferred, recorded);
        stored.paid = uint104(due);
        if (count != recorded) stored.transferred = uint48(count);
        emit Redeemed(id, order.buyer, order.seller, count, due - paid);
        _push(order.token, order.seller, due - paid);
    }

    /// @notice Finishes an order: pays the seller for the highest count there is, and the buyer gets the rest.
    /// @dev The seller may at any time; anyone once all bytes are acknowledged, or once the time for the seller to act
    /// is over: after a close request at `closeAt`, else `grace` after the deadline.
    /// @param transferred Bytes that a voucher acknowledges; 0 without one.
    /// @param signature Of `Ack` by the buyer or its session key; empty without one.
    function settle(Order calldata order, uint64 transferred, bytes calldata signature) external nonReentrant {
        (bytes32 id, Stored storage stored) = _open(order);
        (uint256 due, uint256 refund) = _settle(order, id, stored, transferred, signature);
        _push(order.token, order.seller, due);
        _push(order.token, order.buyer, refund);
    }

    /// @notice Settles many orders, each by the rules of `settle`. Passes over those that are finished, so that nobody
    /// can spoil a batch by settling one of it first; sums in a row that go to one receiver are sent as one.
    function settleBatch(Settlement[] calldata settlements) external nonReentrant {
        Payout[] memory payouts = new Payout[](2 * settlements.length);
        // Sellers from the front and buyers from the middle, each merging into its last entry.
        uint256 seller = 0;
        uint256 buyer = settlements.length;
        for (uint256 i = 0; i < settlements.length; ++i) {
            Settlement calldata item = settlements[i];
            Order calldata order = item.order;
            bytes32 id = orderId(order);
            Stored storage stored = _orders[id];
            if (stored.state == State.None) revert OrderNotFound(id);
            if (stored.state != State.Open) continue;
            (uint256 due, uint256 refund) = _settle(order, id, stored, item.transferred, item.signature);
            seller = _add(payouts, seller, order.token, order.seller, due);
            buyer = _add(payouts, buyer, order.token, order.buyer, refund);
        }
        for (uint256 i = 0; i < payouts.length; ++i) {
            _push(payouts[i].token, payouts[i].to, payouts[i].amount);
        }
    }

    /// @notice Starts the way back for the buyer's money: once `grace` is over, anyone may settle. Until then the seller
    /// can still redeem or settle.
    function requestClose(Order calldata order) external {
        if (msg.sender != order.buyer) revert NotTheBuyer(msg.sender, order.buyer);
        (bytes32 id, Stored storage stored) = _open(order);
        if (stored.closeAt != 0) revert CloseAlreadyRequested(stored.closeAt);
        uint256 from = block.timestamp < order.deadline ? block.timestamp : order.deadline;
        uint32 closeAt = uint32(from + grace);
        stored.closeAt = closeAt;
        emit CloseRequested(id, order.buyer, order.seller, closeAt);
    }

    /// @notice Takes back all that was not paid yet from a seller that signed a wrong chunk. Anyone may call.
    /// @dev The order needs a root. Contradictions are: an index beyond the tree, a proof of the wrong length, and a
    /// proof that leads elsewhere.
    /// @param index Of the chunk in the item.
    /// @param leaf SHA-256 of a zero byte and the chunk.
    /// @param proof Sibling hashes from the leaf up (RFC 9162 section 2.1.3).
    /// @param sellerSignature Of `ChunkClaim` by the seller.
    function dispute(
        Order calldata order,
        uint64 index,
        bytes32 leaf,
        bytes32[] calldata proof,
        bytes calldata sellerSignature
    ) external nonReentrant {
        (bytes32 id, Stored storage stored) = _open(order);
        if (order.dataRoot == 0) revert OrderWithoutRoot(id);
        if (proof.length > 64) revert ProofTooLong(proof.length);
        address signer = _recover(
            keccak256(abi.encode(CLAIM_TYPEHASH, id, index, leaf, keccak256(abi.encodePacked(proof)))), sellerSignature
        );
        if (signer != order.seller) revert ClaimNotSignedBySeller(signer, order.seller);
        if (Sha256Tree.isUnder(order.dataRoot, order.chunks, index, leaf, proof)) revert ChunkIsGenuine(id, index);
        uint256 refund = uint256(stored.deposit) - stored.paid;
        stored.state = State.Disputed;
        emit Disputed(id, order.buyer, order.seller, index, refund);
        _push(order.token, order.buyer, refund);
    }

    /// @notice Rates the other side of a finished order, once per side.
    /// @param score 1 to 5.
    /// @param commentHash keccak-256 of a comment that is published elsewhere; 0 for none.
    /// @param signature Of `Rating` by the seller, the buyer or its session key, which anyone may hand in; empty if the
    /// caller rates for itself.
    function rate(Order calldata order, uint8 score, bytes32 commentHash, bytes calldata signature) external {
        if (score == 0 || score > 5) revert ScoreOutOfRange(score);
        bytes32 id = orderId(order);
        Stored storage stored = _orders[id];
        if (stored.state == State.None) revert OrderNotFound(id);
        if (stored.state == State.Open) revert OrderNotFinished(id);

        (address rater, address ratee, uint8 side) = _sides(
            order,
            signature.length == 0
                ? msg.sender
                : _recover(keccak256(abi.encode(RATING_TYPEHASH, id, score, commentHash)), signature)
        );
        if (stored.rated & side != 0) revert AlreadyRated(id, rater);
        stored.rated |= side;
        _addScore(_standings[order.token][ratee], score, stored.paid);
        emit Rated(id, rater, ratee, order.token, score, stored.paid, commentHash);
    }

    /// @notice Takes out the caller's credit.
    /// @param token Zero for ETH.
    /// @param to Who gets it.
    function withdraw(address token, address to) external nonReentrant {
        _payCredit(token, to);
    }

    // ------------------------------------------------------------------------------------------------------- views

    /// @notice What `owner` can withdraw of `token` (zero for ETH): the pushes that failed.
    function credit(address token, address owner) external view returns (uint256) {
        return _credit[token][owner];
    }

    /// @notice An order by id; all zero if there is none.
    function orders(bytes32 id) external view returns (OrderView memory) {
        Stored storage stored = _orders[id];
        return OrderView({
            buyer: stored.buyer,
            seller: stored.seller,
            total_data: stored.totalData,
            data_transfered: stored.transferred,
            is_finished: stored.state > State.Open,
            started_from: stored.startedFrom,
            deadline: stored.deadline
        });
    }

    /// @notice The money of an order by id; all zero if there is none.
    function account(bytes32 id) external view returns (Account memory) {
        Stored storage stored = _orders[id];
        return Account({
            deposit: stored.deposit,
            paid: stored.paid,
            closeAt: stored.closeAt,
            state: stored.state,
            ratedByBuyer: stored.rated & RATED_BY_BUYER != 0,
            ratedBySeller: stored.rated & RATED_BY_SELLER != 0
        });
    }

    /// @notice Tells for each id whether the order is open and its time is over, so that anyone may settle it.
    function overdue(bytes32[] calldata ids) external view returns (bool[] memory over) {
        over = new bool[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            Stored storage stored = _orders[ids[i]];
            over[i] = stored.state == State.Open && block.timestamp >= _opensAt(stored.closeAt, stored.deadline);
        }
    }

    /// @notice The ratings of `party` over the orders paid in `token`: the mean score is `weightedScore / weight`, where
    /// each order weighs what was paid in it. Orders in which nothing was paid only add to `count`.
    function reputation(address party, address token)
        external
        view
        returns (uint256 weightedScore, uint256 weight, uint256 count)
    {
        Standing storage standing = _standings[token][party];
        return (standing.weightedScore, standing.weight, standing.count);
    }

    /// @notice The id that an order has here: its EIP-712 hash under the domain of the deployment.
    function orderId(Order calldata order) public view returns (bytes32) {
        bytes32 typeHash = ORDER_TYPEHASH;
        bytes32 structHash;
        // The calldata of the struct is its encoding: ten words. Orders with a field wider than its type never get in,
        // `create` refuses to put them into its event.
        assembly ("memory-safe") {
            let encoded := mload(0x40)
            mstore(encoded, typeHash)
            calldatacopy(add(encoded, 32), order, 320)
            structHash := keccak256(encoded, 352)
        }
        return _originDigest(structHash);
    }

    // ---------------------------------------------------------------------------------------------------- settling

    /// @dev Finds an open order by its terms.
    function _open(Order calldata order) private view returns (bytes32 id, Stored storage stored) {
        id = orderId(order);
        stored = _orders[id];
        State state = stored.state;
        if (state == State.None) revert OrderNotFound(id);
        if (state != State.Open) revert OrderAlreadyFinished(id);
    }

    /// @dev Finishes an order that is open; the sums are for the caller to push.
    function _settle(
        Order calldata order,
        bytes32 id,
        Stored storage stored,
        uint64 transferred,
        bytes calldata signature
    ) private returns (uint256 due, uint256 refund) {
        uint64 recorded = stored.transferred;
        uint64 count = _count(order, id, recorded, transferred, signature);
        if (msg.sender != order.seller && count != order.totalData) {
            uint256 opensAt = _opensAt(stored.closeAt, order.deadline);
            if (block.timestamp < opensAt) revert SettleTooEarly(opensAt);
        }
        uint256 deposit = stored.deposit;
        uint256 paid = _earned(order, deposit, count);
        due = paid - stored.paid;
        refund = deposit - paid;
        stored.paid = uint104(paid);
        stored.state = State.Settled;
        if (count != recorded) stored.transferred = uint48(count);
        emit Settled(id, order.buyer, order.seller, count, paid, refund);
    }

    /// @dev The higher of the recorded count and the voucher's, which is checked.
    function _count(
        Order calldata order,
        bytes32 id,
        uint64 recorded,
        uint64 transferred,
        bytes calldata signature
    ) private view returns (uint64) {
        if (transferred == 0 && signature.length == 0) return recorded;
        if (transferred > order.totalData) revert TransferredBeyondTotal(transferred, order.totalData);
        address signer = _recover(keccak256(abi.encode(ACK_TYPEHASH, id, transferred)), signature);
        if (signer == address(0) || (signer != order.ackSigner && signer != order.buyer)) {
            revert AckNotSignedByBuyer(signer, order.buyer, order.ackSigner);
        }
        return transferred > recorded ? transferred : recorded;
    }

    /// @dev Price of the first `count` bytes, in proportion and rounded down, as far as the deposit goes.
    function _earned(Order calldata order, uint256 deposit, uint64 count) private pure returns (uint256) {
        uint256 earned = order.price * count / order.totalData;
        return earned < deposit ? earned : deposit;
    }

    /// @dev From when on anyone may settle.
    function _opensAt(uint256 closeAt, uint256 deadline) private view returns (uint256) {
        return closeAt != 0 ? closeAt : deadline + grace;
    }

    /// @dev Which side an account speaks for, who is on the other, and the side's bit.
    function _sides(Order calldata order, address speaker) private pure returns (address, address, uint8) {
        if (speaker == order.seller) return (order.seller, order.buyer, RATED_BY_SELLER);
        if (speaker == address(0) || (speaker != order.buyer && speaker != order.ackSigner)) {
            revert RaterNotInvolved(speaker, order.buyer, order.seller);
        }
        return (order.buyer, order.seller, RATED_BY_BUYER);
    }

    function _addScore(Standing storage standing, uint8 score, uint112 paid) private {
        standing.weightedScore += paid * score;
        standing.weight += paid;
        standing.count += 1;
    }

    // ----------------------------------------------------------------------------------------------------- digests

    function _domainName() internal pure override returns (string memory) {
        return "Sluice DataTrade";
    }

    /// @dev Who signed; 0 unless the signature is 65 bytes, v 27 or 28, s in the lower half.
    function _recover(bytes32 structHash, bytes calldata signature) private view returns (address signer) {
        (signer,,) = ECDSA.tryRecoverCalldata(_digest(structHash), signature);
    }

    // ------------------------------------------------------------------------------------------------------- money

    /// @dev Takes a deposit from the caller.
    function _pull(address token, uint256 amount) private {
        uint256 value = token == address(0) ? amount : 0;
        if (msg.value != value) revert WrongValue(msg.value, value);
        if (token != address(0) && amount != 0) _pullToken(token, msg.sender, amount);
    }

    /// @dev Notes a payout at `next`, or adds it to the entry before if it goes the same way. Returns where the next goes.
    function _add(Payout[] memory payouts, uint256 next, address token, address to, uint256 amount)
        private
        pure
        returns (uint256)
    {
        if (amount == 0) return next;
        if (next != 0) {
            Payout memory previous = payouts[next - 1];
            if (previous.to == to && previous.token == token) {
                previous.amount += amount;
                return next;
            }
        }
        payouts[next] = Payout(token, to, amount);
        return next + 1;
    }
}
