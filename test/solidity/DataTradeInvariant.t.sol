// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DataTrade} from "../../src/contracts/solidity/DataTrade.sol";
import {BlockingToken, Receiver} from "./Hostile.sol";
import {DataTradeFixture} from "./DataTradeFixture.sol";

/// @dev Plays several orders between several accounts in ETH and a token, some of whom can't be paid, and keeps a ledger
/// of its own beside the contract's. Each call checks what it may have changed.
contract Market is DataTradeFixture {
    uint256 private constant MOST_ORDERS = 12;

    struct Book {
        DataTrade.Order order;
        uint256 deposit;
        uint256 paid;
        uint64 transferred;
        bool finished;
    }

    uint256[3] private keys = [uint256(0xa1), 0xa2, 0xa3];
    Receiver private immutable wall;
    BlockingToken public immutable token;

    bytes32[] public ids;
    mapping(bytes32 id => Book) private books;
    /// @dev What each account should have: in its pocket or as credit.
    mapping(address token => mapping(address account => uint256)) public wealth;
    uint256 private time = NOW;

    /// @dev Time moves only by `waitFor`.
    modifier onTime() {
        vm.warp(time);
        _;
    }

    constructor() {
        begin();
        wall = new Receiver(Receiver.Mode.Revert);
        token = new BlockingToken();
        for (uint256 i = 0; i < keys.length; ++i) {
            address account = vm.addr(keys[i]);
            vm.deal(account, 1e30);
            token.mint(account, 1e30);
            (wealth[address(0)][account], wealth[address(token)][account]) = (1e30, 1e30);
            vm.prank(account);
            token.approve(address(trade), type(uint256).max);
        }
        wealth[address(0)][stranger] = stranger.balance;
    }

    function escrow() external view returns (DataTrade) {
        return trade;
    }

    function accounts() external view returns (address[5] memory) {
        return [vm.addr(keys[0]), vm.addr(keys[1]), vm.addr(keys[2]), address(wall), stranger];
    }

    function count() external view returns (uint256) {
        return ids.length;
    }

    function bookOf(bytes32 id) external view returns (Book memory) {
        return books[id];
    }

    // ----------------------------------------------------------------------------------------------------- actions

    function create(uint256 seed, uint104 price, uint48 totalData, uint104 deposit) external onTime {
        if (ids.length == MOST_ORDERS) return;
        DataTrade.Order memory order;
        order.buyer = vm.addr(keys[seed % 3]);
        order.seller = seed % 5 == 0 ? address(wall) : vm.addr(keys[(seed + 1) % 3]);
        order.token = seed % 2 == 0 ? address(0) : address(token);
        order.ackSigner = session;
        order.price = bound(price, 0, 1e27);
        order.totalData = uint64(bound(totalData, 1, type(uint48).max));
        order.chunks = 4;
        order.dataRoot = "root";
        order.deadline = uint64(block.timestamp + bound(seed, 1, 2 days));
        order.salt = bytes32(ids.length);
        uint256 paidIn = order.price == 0 ? 0 : bound(deposit, 1, order.price);
        // A blocked buyer can't pay in.
        if (order.token != address(0) && token.blocked(order.buyer)) return;
        bytes32 id = create(order, paidIn);
        ids.push(id);
        books[id] = Book(order, paidIn, 0, 0, false);
        wealth[order.token][order.buyer] -= paidIn;
    }

    function topUp(uint256 seed, uint104 amount) external onTime {
        (bytes32 id, Book storage book) = pick(seed);
        address from = vm.addr(keys[seed % 3]);
        if (id == 0 || book.finished || book.deposit == book.order.price) return;
        if (book.order.token != address(0) && token.blocked(from)) return;
        uint256 more = bound(amount, 1, book.order.price - book.deposit);
        vm.prank(from);
        trade.topUp{value: book.order.token == address(0) ? more : 0}(book.order, more);
        book.deposit += more;
        wealth[book.order.token][from] -= more;
    }

    function updateTransferred(uint256 seed, uint48 transferred) external onTime {
        (bytes32 id, Book storage book) = pick(seed);
        if (id == 0 || book.finished || book.transferred == book.order.totalData) return;
        uint64 next = uint64(bound(transferred, book.transferred + 1, book.order.totalData));
        vm.prank(book.order.buyer);
        trade.updateTransferred(id, next);
        book.transferred = next;
    }

    function redeem(uint256 seed, uint48 transferred) external onTime {
        (bytes32 id, Book storage book) = pick(seed);
        if (id == 0 || book.finished) return;
        uint64 next = uint64(bound(transferred, 0, book.order.totalData));
        bytes memory signature = next == 0 ? bytes("") : ack(SESSION_KEY, id, next);
        if (next <= book.transferred && earned(book, book.transferred) == book.paid) {
            vm.expectPartialRevert(DataTrade.NothingToRedeem.selector);
            trade.redeem(book.order, next, signature);
            return;
        }
        trade.redeem(book.order, next, signature);
        if (next > book.transferred) book.transferred = next;
        pay(book);
    }

    function requestClose(uint256 seed) external onTime {
        (bytes32 id, Book storage book) = pick(seed);
        if (id == 0 || book.finished || trade.account(id).closeAt != 0) return;
        vm.prank(book.order.buyer);
        trade.requestClose(book.order);
    }

    function settle(uint256 seed, uint48 transferred) external onTime {
        (bytes32 id, Book storage book) = pick(seed);
        if (id == 0) return;
        uint64 next = uint64(bound(transferred, 0, book.order.totalData));
        bytes memory signature = next == 0 ? bytes("") : ack(SESSION_KEY, id, next);
        if (book.finished) {
            vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderAlreadyFinished.selector, id));
            vm.prank(book.order.seller);
            trade.settle(book.order, next, signature);
            return;
        }
        vm.prank(book.order.seller);
        trade.settle(book.order, next, signature);
        finish(book, next);
    }

    /// @dev By someone who has no say: only works when the time is over.
    function settleOverdue(uint256 seed) external onTime {
        (bytes32 id, Book storage book) = pick(seed);
        if (id == 0 || book.finished) return;
        uint256 closeAt = trade.account(id).closeAt;
        uint256 opensAt = closeAt != 0 ? closeAt : book.order.deadline + GRACE;
        if (block.timestamp < opensAt && book.transferred != book.order.totalData) {
            vm.expectRevert(abi.encodeWithSelector(DataTrade.SettleTooEarly.selector, opensAt));
            vm.prank(stranger);
            trade.settle(book.order, 0, "");
            return;
        }
        vm.prank(stranger);
        trade.settle(book.order, 0, "");
        finish(book, 0);
    }

    /// @dev All orders of one seller, finished ones too, each with a voucher of its own.
    function settleBatch(uint256 seed, uint48 transferred) external onTime {
        (bytes32 first, Book storage sample) = pick(seed);
        if (first == 0) return;
        address seller_ = sample.order.seller;
        DataTrade.Settlement[] memory batch = new DataTrade.Settlement[](ids.length);
        uint256 size = 0;
        for (uint256 i = 0; i < ids.length; ++i) {
            Book storage book = books[ids[i]];
            if (book.order.seller != seller_) continue;
            uint64 next = uint64(bound(transferred, 1, book.order.totalData));
            batch[size++] = DataTrade.Settlement(book.order, next, ack(SESSION_KEY, ids[i], next));
        }
        assembly ("memory-safe") {
            mstore(batch, size)
        }
        vm.prank(seller_);
        trade.settleBatch(batch);
        for (uint256 i = 0; i < size; ++i) {
            Book storage book = books[trade.orderId(batch[i].order)];
            if (!book.finished) finish(book, batch[i].transferred);
        }
    }

    function dispute(uint256 seed) external onTime {
        (bytes32 id, Book storage book) = pick(seed);
        if (id == 0 || book.finished || book.order.seller == address(wall)) return;
        uint256 key = keys[0];
        for (uint256 i = 1; i < keys.length; ++i) {
            if (vm.addr(keys[i]) == book.order.seller) key = keys[i];
        }
        bytes32[] memory proof = new bytes32[](2);
        trade.dispute(book.order, 1, "leaf", proof, claim(key, id, 1, "leaf", proof));
        wealth[book.order.token][book.order.buyer] += book.deposit - book.paid;
        book.finished = true;
    }

    function withdraw(uint256 seed) external onTime {
        address of_ = seed % 4 == 3 ? address(wall) : vm.addr(keys[seed % 4]);
        address in_ = seed % 2 == 0 ? address(0) : address(token);
        uint256 amount = trade.credit(in_, of_);
        if (amount == 0) return;
        vm.prank(of_);
        trade.withdraw(in_, stranger);
        wealth[in_][of_] -= amount;
        wealth[in_][stranger] += amount;
    }

    function rate(uint256 seed, uint8 score) external onTime {
        (bytes32 id, Book storage book) = pick(seed);
        if (id == 0 || !book.finished || trade.account(id).ratedByBuyer) return;
        vm.prank(book.order.buyer);
        trade.rate(book.order, uint8(bound(score, 1, 5)), 0, "");
    }

    function setBlocked(uint256 seed, bool yes) external onTime {
        token.setBlocked(vm.addr(keys[seed % 3]), yes);
    }

    function waitFor(uint256 seconds_) external {
        time += bound(seconds_, 1, 12 hours);
    }

    // ------------------------------------------------------------------------------------------------------ ledger

    function pick(uint256 seed) private view returns (bytes32 id, Book storage book) {
        id = ids.length == 0 ? bytes32(0) : ids[(seed >> 8) % ids.length];
        book = books[id];
    }

    function earned(Book storage book, uint256 transferred) private view returns (uint256) {
        uint256 part = book.order.price * transferred / book.order.totalData;
        return part < book.deposit ? part : book.deposit;
    }

    function pay(Book storage book) private {
        uint256 due = earned(book, book.transferred) - book.paid;
        wealth[book.order.token][book.order.seller] += due;
        book.paid += due;
    }

    function finish(Book storage book, uint64 voucher) private {
        if (voucher > book.transferred) book.transferred = voucher;
        pay(book);
        wealth[book.order.token][book.order.buyer] += book.deposit - book.paid;
        book.finished = true;
    }
}

contract DataTradeInvariantTest is DataTradeFixture {
    Market private market;

    function setUp() public {
        market = new Market();
        trade = market.escrow();
    }

    /// @dev Forge calls these, and only these.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(market);
    }

    /// @dev One function: forge would play the same calls anew for each.
    function invariant_moneyIsWhereItBelongs() external view {
        checkBalance();
        checkAccounts();
        checkOrders();
    }

    /// @dev The contract holds what the open orders have left and what waits for its owners, to the last unit.
    function checkBalance() private view {
        address[2] memory tokens = [address(0), address(market.token())];
        for (uint256 t = 0; t < tokens.length; ++t) {
            uint256 expected = 0;
            for (uint256 i = 0; i < market.count(); ++i) {
                bytes32 id = market.ids(i);
                if (market.bookOf(id).order.token != tokens[t]) continue;
                DataTrade.Account memory account = trade.account(id);
                if (account.state == DataTrade.State.Open) expected += account.deposit - account.paid;
            }
            address[5] memory accounts = market.accounts();
            for (uint256 i = 0; i < accounts.length; ++i) {
                expected += trade.credit(tokens[t], accounts[i]);
            }
            uint256 balance = t == 0 ? address(trade).balance : market.token().balanceOf(address(trade));
            vm.assertEq(balance, expected, "balance");
        }
    }

    /// @dev Every account has exactly what an independent ledger says: nothing is paid twice, lost, or paid to another.
    function checkAccounts() private view {
        address token = address(market.token());
        address[5] memory accounts = market.accounts();
        for (uint256 i = 0; i < accounts.length; ++i) {
            address who = accounts[i];
            vm.assertEq(who.balance + trade.credit(address(0), who), market.wealth(address(0), who), "ETH");
            uint256 tokens = market.token().balanceOf(who) + trade.credit(token, who);
            vm.assertEq(tokens, market.wealth(token, who), "token");
        }
    }

    /// @dev The ledger's counts only grow, and the contract's are the same.
    function checkOrders() private view {
        for (uint256 i = 0; i < market.count(); ++i) {
            bytes32 id = market.ids(i);
            Market.Book memory book = market.bookOf(id);
            DataTrade.OrderView memory shown = trade.orders(id);
            DataTrade.Account memory account = trade.account(id);
            vm.assertEq(shown.data_transfered, book.transferred, "transferred");
            vm.assertTrue(shown.is_finished == book.finished, "finished");
            vm.assertEq(account.deposit, book.deposit, "deposit");
            vm.assertEq(account.paid, book.paid, "paid");
            vm.assertLe(account.paid, account.deposit, "paid, at most the deposit");
            vm.assertLe(account.deposit, book.order.price, "deposit, at most the price");
            vm.assertLe(shown.data_transfered, shown.total_data, "transferred, at most everything");
        }
    }
}
