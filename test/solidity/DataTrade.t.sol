// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DataTrade} from "../../src/contracts/solidity/DataTrade.sol";
import {Payouts} from "../../src/contracts/solidity/Payouts.sol";
import {BlockingToken, BurningToken, FalseToken, FeeToken, HeavyToken, HookToken, Receiver, SilentToken} from "./Hostile.sol";
import {DataTradeFixture} from "./DataTradeFixture.sol";

contract DataTradeTest is DataTradeFixture {
    function setUp() public {
        begin();
    }

    // ------------------------------------------------------------------------------------------------------ create

    function test_create_storesTheOrderAndTakesTheDeposit() public {
        DataTrade.Order memory order = terms();
        bytes32 id = trade.orderId(order);
        vm.expectEmit(address(trade));
        emit DataTrade.OrderCreated(id, buyer, seller, order, 600_000);
        vm.assertEq(create(order, 600_000), id, "id");

        DataTrade.OrderView memory view_ = trade.orders(id);
        vm.assertEq(view_.buyer, buyer, "buyer");
        vm.assertEq(view_.seller, seller, "seller");
        vm.assertEq(view_.total_data, 1000, "total");
        vm.assertEq(view_.data_transfered, 0, "transferred");
        vm.assertFalse(view_.is_finished, "finished");
        vm.assertEq(view_.started_from, NOW, "start");
        vm.assertEq(view_.deadline, DEADLINE, "deadline");
        DataTrade.Account memory account = trade.account(id);
        vm.assertEq(account.deposit, 600_000, "deposit");
        vm.assertEq(account.paid, 0, "paid");
        vm.assertEq(account.closeAt, 0, "close");
        vm.assertTrue(account.state == DataTrade.State.Open, "state");
        vm.assertEq(address(trade).balance, 600_000, "balance");
    }

    function test_create_idIsTheEip712HashOfTheTerms() public view {
        DataTrade.Order memory order = terms();
        order.chunks = 7;
        order.dataRoot = bytes32(uint256(8));
        order.salt = bytes32(uint256(9));
        bytes32 separator = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Sluice DataTrade"),
                keccak256("1"),
                block.chainid,
                address(trade)
            )
        );
        bytes32 typeHash = keccak256(
            "Order(address buyer,address seller,address token,address ackSigner,uint256 price,uint64 totalData,uint64 chunks,bytes32 dataRoot,uint64 deadline,bytes32 salt)"
        );
        vm.assertEq(trade.DOMAIN_SEPARATOR(), separator, "separator");
        bytes32 expected = keccak256(abi.encodePacked(hex"1901", separator, keccak256(abi.encode(typeHash, order))));
        vm.assertEq(trade.orderId(order), expected, "id");
    }

    function test_create_badTermsRevert() public {
        DataTrade.Order memory order = terms();
        order.buyer = stranger;
        expectNoCreate(order, 1, abi.encodeWithSelector(DataTrade.NotTheBuyer.selector, buyer, stranger));

        order = terms();
        order.seller = address(0);
        expectNoCreate(order, 1, abi.encodeWithSelector(DataTrade.SellerUnusable.selector, address(0)));
        order.seller = buyer;
        expectNoCreate(order, 1, abi.encodeWithSelector(DataTrade.SellerUnusable.selector, buyer));

        order = terms();
        order.price = 1 << 104;
        expectNoCreate(
            order, 1, abi.encodeWithSelector(DataTrade.PriceTooLarge.selector, 1 << 104, type(uint104).max)
        );

        order = terms();
        order.totalData = 0;
        expectNoCreate(order, 1, abi.encodeWithSelector(DataTrade.TotalDataOutOfRange.selector, 0, type(uint48).max));
        order.totalData = 1 << 48;
        expectNoCreate(
            order, 1, abi.encodeWithSelector(DataTrade.TotalDataOutOfRange.selector, 1 << 48, type(uint48).max)
        );

        order = terms();
        uint256 latest = type(uint32).max - GRACE;
        order.deadline = uint64(NOW);
        expectNoCreate(order, 1, abi.encodeWithSelector(DataTrade.DeadlineOutOfRange.selector, NOW, NOW, latest));
        order.deadline = uint64(latest + 1);
        expectNoCreate(
            order, 1, abi.encodeWithSelector(DataTrade.DeadlineOutOfRange.selector, latest + 1, NOW, latest)
        );

        order = terms();
        order.chunks = 1;
        expectNoCreate(order, 1, abi.encodeWithSelector(DataTrade.ChunksWithoutRoot.selector, 1, bytes32(0)));
        order.chunks = 0;
        order.dataRoot = bytes32(uint256(1));
        expectNoCreate(order, 1, abi.encodeWithSelector(DataTrade.ChunksWithoutRoot.selector, 0, order.dataRoot));

        order = terms();
        expectNoCreate(order, 0, abi.encodeWithSelector(DataTrade.DepositOutOfRange.selector, 0, 1_000_000));
        expectNoCreate(
            order, 1_000_001, abi.encodeWithSelector(DataTrade.DepositOutOfRange.selector, 1_000_001, 1_000_000)
        );
    }

    function expectNoCreate(DataTrade.Order memory order, uint256 deposit, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(buyer);
        trade.create{value: deposit}(order, deposit);
    }

    function test_create_valueMustBeTheDeposit() public {
        DataTrade.Order memory order = terms();
        vm.expectRevert(abi.encodeWithSelector(Payouts.WrongValue.selector, 999_999, 1_000_000));
        vm.prank(buyer);
        trade.create{value: 999_999}(order, 1_000_000);
        order.token = address(new SilentToken());
        vm.expectRevert(abi.encodeWithSelector(Payouts.WrongValue.selector, 1, 0));
        vm.prank(buyer);
        trade.create{value: 1}(order, 1_000_000);
    }

    function test_create_sameTermsAgainRevert() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderIdTaken.selector, id));
        create(order);
        settle(order, id, 1000);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderIdTaken.selector, id));
        create(order);
        order.salt = bytes32(uint256(1));
        vm.assertTrue(create(order) != id, "another id with another salt");
    }

    function test_create_freeDataTakesNoDeposit() public {
        DataTrade.Order memory order = terms();
        order.price = 0;
        bytes32 id = create(order);
        settle(order, id, 1000);
        vm.assertTrue(trade.orders(id).is_finished, "finished");
    }

    /// @dev The id is a hash of raw calldata: a field wider than its type must not make a second form of an order.
    function test_create_fieldsWiderThanTheirTypesRevert() public {
        bytes memory call = abi.encodeCall(trade.create, (terms(), 1_000_000));
        // Every field that is narrower than a word: its highest byte is at 4 + 32 * place.
        uint8[7] memory places = [0, 1, 2, 3, 5, 6, 8];
        for (uint256 i = 0; i < places.length; ++i) {
            uint256 high = 4 + 32 * uint256(places[i]);
            call[high] = 0x01;
            vm.prank(buyer);
            (bool success,) = address(trade).call{value: 1_000_000}(call);
            vm.assertFalse(success, "a dirty field");
            call[high] = 0x00;
        }
        vm.prank(buyer);
        (bool clean,) = address(trade).call{value: 1_000_000}(call);
        vm.assertTrue(clean, "the clean call");
    }

    // ------------------------------------------------------------------------------------------------------- topUp

    function test_topUp_raisesTheDepositUpToThePrice() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order, 1);
        vm.expectEmit(address(trade));
        emit DataTrade.ToppedUp(id, stranger, seller, 399_999, 400_000);
        vm.prank(stranger);
        trade.topUp{value: 399_999}(order, 399_999);
        vm.assertEq(trade.account(id).deposit, 400_000, "deposit");

        vm.expectRevert(abi.encodeWithSelector(DataTrade.DepositOutOfRange.selector, 600_001, 600_000));
        vm.prank(stranger);
        trade.topUp{value: 600_001}(order, 600_001);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.DepositOutOfRange.selector, 0, 600_000));
        trade.topUp(order, 0);
        vm.expectRevert(abi.encodeWithSelector(Payouts.WrongValue.selector, 0, 600_000));
        trade.topUp(order, 600_000);

        vm.prank(stranger);
        trade.topUp{value: 600_000}(order, 600_000);
        vm.assertEq(address(trade).balance, 1_000_000, "balance");
    }

    function test_topUp_pastVoucherIsWorthMore() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order, 100_000);
        bytes memory signature = ack(BUYER_KEY, id, 500);
        trade.redeem(order, 500, signature);
        vm.assertEq(seller.balance, 100_000, "as far as the deposit goes");
        vm.prank(stranger);
        trade.topUp{value: 900_000}(order, 900_000);
        trade.redeem(order, 500, signature);
        vm.assertEq(seller.balance, 500_000, "the rest");
    }

    // ------------------------------------------------------------------------------------------- updateTransferred

    function test_updateTransferred_recordsTheCount() public {
        bytes32 id = create(terms());
        vm.expectEmit(address(trade));
        emit DataTrade.TransferredUpdated(id, 400);
        vm.prank(buyer);
        trade.updateTransferred(id, 400);
        vm.assertEq(recorded(id), 400, "count");
        vm.assertEq(seller.balance, 0, "no payment yet");
    }

    function test_updateTransferred_refusals() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.NotTheBuyer.selector, seller, buyer));
        vm.prank(seller);
        trade.updateTransferred(id, 1);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderNotFound.selector, bytes32(0)));
        vm.prank(buyer);
        trade.updateTransferred(0, 1);

        vm.prank(buyer);
        trade.updateTransferred(id, 400);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.TransferredNotIncreased.selector, 400, 400));
        vm.prank(buyer);
        trade.updateTransferred(id, 400);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.TransferredBeyondTotal.selector, 1001, 1000));
        vm.prank(buyer);
        trade.updateTransferred(id, 1001);

        settle(order, id, 400);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderAlreadyFinished.selector, id));
        vm.prank(buyer);
        trade.updateTransferred(id, 500);
    }

    // ------------------------------------------------------------------------------------------------------ redeem

    function test_redeem_paysTheDifference() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        trade.redeem(order, 300, ack(BUYER_KEY, id, 300));
        vm.assertEq(seller.balance, 300_000, "first");
        vm.expectEmit(address(trade));
        emit DataTrade.Redeemed(id, buyer, seller, 500, 200_000);
        trade.redeem(order, 500, ack(SESSION_KEY, id, 500));
        vm.assertEq(seller.balance, 500_000, "second");
        vm.assertEq(recorded(id), 500, "count");
        vm.assertEq(trade.account(id).paid, 500_000, "paid");
        vm.assertFalse(trade.orders(id).is_finished, "open");
    }

    function test_redeem_sameOrLowerVoucherReverts() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        bytes memory low = ack(BUYER_KEY, id, 200);
        bytes memory high = ack(BUYER_KEY, id, 300);
        trade.redeem(order, 300, high);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.NothingToRedeem.selector, 300, 300));
        trade.redeem(order, 300, high);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.NothingToRedeem.selector, 200, 300));
        trade.redeem(order, 200, low);
    }

    function test_redeem_recordedCountNeedsNoVoucher() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.NothingToRedeem.selector, 0, 0));
        trade.redeem(order, 0, "");
        vm.prank(buyer);
        trade.updateTransferred(id, 400);
        trade.redeem(order, 0, "");
        vm.assertEq(seller.balance, 400_000, "paid");
    }

    function test_redeem_onlyTheBuyersSignatureCounts() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        uint256[2] memory others = [SELLER_KEY, STRANGER_KEY];
        for (uint256 i = 0; i < others.length; ++i) {
            bytes memory signature = ack(others[i], id, 300);
            vm.expectRevert(
                abi.encodeWithSelector(DataTrade.AckNotSignedByBuyer.selector, vm.addr(others[i]), buyer, session)
            );
            trade.redeem(order, 300, signature);
        }
        // Of another count, and of another order: the recovered key is anyone's.
        bytes memory other = ack(BUYER_KEY, id, 299);
        vm.expectPartialRevert(DataTrade.AckNotSignedByBuyer.selector);
        trade.redeem(order, 300, other);
        other = ack(BUYER_KEY, bytes32(uint256(id) + 1), 300);
        vm.expectPartialRevert(DataTrade.AckNotSignedByBuyer.selector);
        trade.redeem(order, 300, other);
        // Of this order on another chain, and in another contract.
        other = ack(BUYER_KEY, id, 300);
        DataTrade first = trade;
        vm.chainId(block.chainid + 1);
        vm.expectPartialRevert(DataTrade.AckNotSignedByBuyer.selector);
        trade.redeem(order, 300, other);
        vm.chainId(block.chainid - 1);
        trade = DataTrade(deploy("DataTrade", abi.encode(GRACE)));
        create(order);
        vm.expectPartialRevert(DataTrade.AckNotSignedByBuyer.selector);
        trade.redeem(order, 300, other);
        first.redeem(order, 300, other);
        vm.assertEq(seller.balance, 300_000, "the right one counts");
    }

    function test_redeem_malformedSignaturesRevert() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(BUYER_KEY, keccak256(abi.encodePacked(hex"1901", trade.DOMAIN_SEPARATOR(), ackHash(id, 300))));
        bytes32 high = bytes32(CURVE_ORDER - uint256(s));
        bytes[8] memory wrong = [
            abi.encodePacked(r, high, v == 27 ? uint8(28) : uint8(27)),
            abi.encodePacked(r, s, v - 27),
            abi.encodePacked(r, s, uint8(29)),
            abi.encodePacked(r, s),
            abi.encodePacked(r, s, v, uint8(0)),
            abi.encodePacked(bytes32(0), s, v),
            abi.encodePacked(r, bytes32(0), v),
            bytes("")
        ];
        bytes memory reason = abi.encodeWithSelector(DataTrade.AckNotSignedByBuyer.selector, address(0), buyer, session);
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.expectRevert(reason);
            trade.redeem(order, 300, wrong[i]);
        }
        trade.redeem(order, 300, abi.encodePacked(r, s, v));
    }

    /// @dev Without a session key, the zero that a broken signature recovers to must not stand for it.
    function test_redeem_zeroAckSignerAcceptsNobody() public {
        DataTrade.Order memory order = terms();
        order.ackSigner = address(0);
        bytes32 id = create(order);
        vm.expectRevert(
            abi.encodeWithSelector(DataTrade.AckNotSignedByBuyer.selector, address(0), buyer, address(0))
        );
        trade.redeem(order, 300, new bytes(65));
        bytes memory signature = ack(SESSION_KEY, id, 300);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.AckNotSignedByBuyer.selector, session, buyer, address(0)));
        trade.redeem(order, 300, signature);
    }

    function test_redeem_refusals() public {
        DataTrade.Order memory order = terms();
        bytes32 id = trade.orderId(order);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderNotFound.selector, id));
        trade.redeem(order, 300, "");
        create(order);
        bytes memory signature = ack(BUYER_KEY, id, 1001);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.TransferredBeyondTotal.selector, 1001, 1000));
        trade.redeem(order, 1001, signature);
        settle(order, id, 10);
        signature = ack(BUYER_KEY, id, 300);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderAlreadyFinished.selector, id));
        trade.redeem(order, 300, signature);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderAlreadyFinished.selector, id));
        trade.topUp(order, 1);
    }

    // ------------------------------------------------------------------------------------------------------ settle

    function test_settle_dividesTheDeposit() public {
        DataTrade.Order memory order = terms();
        order.price = 1_000_001;
        bytes32 id = create(order);
        uint256 before = buyer.balance;
        bytes memory signature = ack(SESSION_KEY, id, 333);
        vm.expectEmit(address(trade));
        // 333 / 1000 of 1,000,001 is 333,000.333: the dust stays with the buyer.
        emit DataTrade.Settled(id, buyer, seller, 333, 333_000, 667_001);
        vm.prank(seller);
        trade.settle(order, 333, signature);
        vm.assertEq(seller.balance, 333_000, "seller");
        vm.assertEq(buyer.balance - before, 667_001, "buyer");
        vm.assertEq(address(trade).balance, 0, "contract");
        vm.assertTrue(trade.orders(id).is_finished, "finished");
        vm.assertEq(trade.orders(id).data_transfered, 333, "count");
        vm.assertTrue(trade.account(id).state == DataTrade.State.Settled, "state");
    }

    function test_settle_twiceReverts() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        create(withSalt(order, 1));
        settle(order, id, 400);
        bytes memory signature = ack(BUYER_KEY, id, 1000);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderAlreadyFinished.selector, id));
        vm.prank(seller);
        trade.settle(order, 1000, signature);
        vm.assertEq(address(trade).balance, 1_000_000, "the other order's deposit");
    }

    function test_settle_takesTheHigherOfRecordAndVoucher() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        vm.prank(buyer);
        trade.updateTransferred(id, 700);
        settle(order, id, 400);
        vm.assertEq(seller.balance, 700_000, "the record");
        vm.assertEq(recorded(id), 700, "count");
    }

    function test_settle_afterRedeemPaysTheRest() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        trade.redeem(order, 300, ack(BUYER_KEY, id, 300));
        settle(order, id, 450);
        vm.assertEq(seller.balance, 450_000, "in all");
        vm.assertEq(address(trade).balance, 0, "contract");
    }

    function test_settle_othersWaitForTheEndOfGrace() public {
        DataTrade.Order memory order = terms();
        create(order);
        address[2] memory others = [buyer, stranger];
        uint256 opensAt = DEADLINE + GRACE;
        vm.warp(opensAt - 1);
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(DataTrade.SettleTooEarly.selector, opensAt));
            vm.prank(others[i]);
            trade.settle(order, 0, "");
        }
        vm.warp(opensAt);
        uint256 before = buyer.balance;
        vm.prank(stranger);
        trade.settle(order, 0, "");
        vm.assertEq(buyer.balance - before, 1_000_000, "all back");
    }

    function test_settle_anyoneOnceAllIsAcknowledged() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        vm.prank(buyer);
        trade.updateTransferred(id, 1000);
        vm.prank(stranger);
        trade.settle(order, 0, "");
        vm.assertEq(seller.balance, 1_000_000, "by record");

        order = withSalt(order, 1);
        id = create(order);
        bytes memory signature = ack(BUYER_KEY, id, 1000);
        vm.prank(stranger);
        trade.settle(order, 1000, signature);
        vm.assertEq(seller.balance, 2_000_000, "by voucher");
    }

    function test_settle_wrongTermsAreNotFound() public {
        DataTrade.Order memory order = terms();
        create(order);
        order.price += 1;
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderNotFound.selector, trade.orderId(order)));
        vm.prank(seller);
        trade.settle(order, 0, "");
    }

    function test_settle_badVoucherReverts() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        bytes memory own = ack(SELLER_KEY, id, 1000);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.AckNotSignedByBuyer.selector, seller, buyer, session));
        vm.prank(seller);
        trade.settle(order, 1000, own);
        // Zero bytes and a signature is a voucher too, and checked.
        vm.expectPartialRevert(DataTrade.AckNotSignedByBuyer.selector);
        vm.prank(seller);
        trade.settle(order, 0, own);
    }

    // ------------------------------------------------------------------------------------------------ requestClose

    function test_requestClose_opensAfterGrace() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        vm.expectEmit(address(trade));
        emit DataTrade.CloseRequested(id, buyer, seller, uint64(NOW + GRACE));
        vm.prank(buyer);
        trade.requestClose(order);
        vm.assertEq(trade.account(id).closeAt, NOW + GRACE, "close");

        vm.warp(NOW + GRACE - 1);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.SettleTooEarly.selector, NOW + GRACE));
        vm.prank(buyer);
        trade.settle(order, 0, "");
        trade.redeem(order, 300, ack(BUYER_KEY, id, 300));
        vm.warp(NOW + GRACE);
        vm.prank(buyer);
        trade.settle(order, 0, "");
        vm.assertEq(seller.balance, 300_000, "what the seller redeemed in time stays");
    }

    function test_requestClose_neverLaterThanTheDeadlinesGrace() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        vm.warp(DEADLINE + 5);
        vm.prank(buyer);
        trade.requestClose(order);
        vm.assertEq(trade.account(id).closeAt, DEADLINE + GRACE, "close");
    }

    function test_requestClose_refusals() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.NotTheBuyer.selector, seller, buyer));
        vm.prank(seller);
        trade.requestClose(order);
        vm.prank(buyer);
        trade.requestClose(order);
        vm.warp(NOW + 10);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.CloseAlreadyRequested.selector, NOW + GRACE));
        vm.prank(buyer);
        trade.requestClose(order);
        settle(order, id, 0);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderAlreadyFinished.selector, id));
        vm.prank(buyer);
        trade.requestClose(order);
    }

    function test_overdue_tellsWhatAnyoneMaySettle() public {
        DataTrade.Order memory order = terms();
        bytes32[] memory ids = new bytes32[](4);
        ids[0] = create(order);
        ids[1] = create(withSalt(order, 1));
        ids[2] = create(withSalt(order, 2));
        vm.prank(buyer);
        trade.requestClose(withSalt(order, 1));
        settle(withSalt(order, 2), ids[2], 0);
        assertOverdue(ids, false, false);
        vm.warp(NOW + GRACE);
        assertOverdue(ids, false, true);
        vm.warp(DEADLINE + GRACE - 1);
        assertOverdue(ids, false, true);
        vm.warp(DEADLINE + GRACE);
        assertOverdue(ids, true, true);
    }

    function assertOverdue(bytes32[] memory ids, bool first, bool second) private view {
        bool[] memory over = trade.overdue(ids);
        vm.assertTrue(over[0] == first, "by deadline");
        vm.assertTrue(over[1] == second, "by close request");
        vm.assertFalse(over[2], "finished");
        vm.assertFalse(over[3], "unknown");
    }

    // ------------------------------------------------------------------------------------------------- settleBatch

    function test_settleBatch_settlesAllAndPassesOverTheFinished() public {
        DataTrade.Settlement[] memory batch = new DataTrade.Settlement[](4);
        for (uint256 i = 0; i < batch.length; ++i) {
            DataTrade.Order memory order = withSalt(terms(), i);
            bytes32 id = create(order);
            batch[i] = DataTrade.Settlement(order, 400, ack(BUYER_KEY, id, 400));
        }
        settle(batch[1].order, trade.orderId(batch[1].order), 100);
        uint256 before = buyer.balance;
        vm.prank(seller);
        trade.settleBatch(batch);
        vm.assertEq(seller.balance, 100_000 + 3 * 400_000, "seller");
        vm.assertEq(buyer.balance - before, 3 * 600_000, "buyer");
        vm.assertEq(address(trade).balance, 0, "contract");
    }

    /// @dev A receiver counts its payments: one for three orders in a row.
    function test_settleBatch_sendsOneSumPerReceiverInARow() public {
        Receiver receiver = new Receiver(Receiver.Mode.Revert);
        DataTrade.Settlement[] memory batch = new DataTrade.Settlement[](5);
        for (uint256 i = 0; i < batch.length; ++i) {
            DataTrade.Order memory order = withSalt(terms(), i);
            if (i != 3) order.seller = address(receiver);
            bytes32 id = create(order);
            batch[i] = DataTrade.Settlement(order, 1000, ack(BUYER_KEY, id, 1000));
        }
        vm.expectEmit(address(trade));
        emit Payouts.Credited(address(0), address(receiver), 3_000_000);
        vm.expectEmit(address(trade));
        emit Payouts.Credited(address(0), address(receiver), 1_000_000);
        trade.settleBatch(batch);
        vm.assertEq(trade.credit(address(0), address(receiver)), 4_000_000, "credit");
        vm.assertEq(seller.balance, 1_000_000, "the other seller");
    }

    function test_settleBatch_keepsTokensApart() public {
        SilentToken token = new SilentToken();
        fund(token.mint, token.approve);
        DataTrade.Settlement[] memory batch = new DataTrade.Settlement[](3);
        for (uint256 i = 0; i < batch.length; ++i) {
            DataTrade.Order memory order = withSalt(terms(), i);
            if (i == 1) order.token = address(token);
            bytes32 id = create(order);
            batch[i] = DataTrade.Settlement(order, 250, ack(BUYER_KEY, id, 250));
        }
        vm.prank(seller);
        trade.settleBatch(batch);
        vm.assertEq(seller.balance, 500_000, "ETH");
        vm.assertEq(token.balanceOf(seller), 250_000, "token");
        vm.assertEq(token.balanceOf(buyer), 1_000_000_000 - 250_000, "token of the buyer");
    }

    function test_settleBatch_sameRulesPerItem() public {
        DataTrade.Settlement[] memory batch = new DataTrade.Settlement[](1);
        batch[0].order = terms();
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderNotFound.selector, trade.orderId(terms())));
        trade.settleBatch(batch);
        create(terms());
        vm.expectRevert(abi.encodeWithSelector(DataTrade.SettleTooEarly.selector, DEADLINE + GRACE));
        trade.settleBatch(batch);
        trade.settleBatch(new DataTrade.Settlement[](0));
    }

    /// @dev The last seller's entry and the first buyer's are neighbours: they must not be taken for each other.
    function test_settleBatch_sellerOfOneOrderIsBuyerOfTheNext() public {
        DataTrade.Settlement[] memory batch = new DataTrade.Settlement[](2);
        DataTrade.Order memory order = terms();
        order.seller = stranger;
        batch[0] = DataTrade.Settlement(order, 400, ack(BUYER_KEY, create(order), 400));
        order = terms();
        order.buyer = stranger;
        order.seller = buyer;
        batch[1] = DataTrade.Settlement(order, 300, ack(STRANGER_KEY, create(order), 300));
        (uint256 buyerBefore, uint256 strangerBefore) = (buyer.balance, stranger.balance);
        vm.warp(DEADLINE + GRACE);
        trade.settleBatch(batch);
        vm.assertEq(stranger.balance - strangerBefore, 400_000 + 700_000, "stranger");
        vm.assertEq(buyer.balance - buyerBefore, 600_000 + 300_000, "buyer");
    }

    // ----------------------------------------------------------------------------------------------------- dispute

    function test_dispute_wrongChunkGivesTheDepositBack() public {
        (DataTrade.Order memory order, bytes32 id) = createRooted(8);
        trade.redeem(order, 300, ack(BUYER_KEY, id, 300));
        bytes32[] memory proof = new bytes32[](3);
        bytes memory signature = claim(SELLER_KEY, id, 5, "wrong", proof);
        uint256 before = buyer.balance;
        vm.expectEmit(address(trade));
        emit DataTrade.Disputed(id, buyer, seller, 5, 700_000);
        vm.prank(stranger);
        trade.dispute(order, 5, "wrong", proof, signature);
        vm.assertEq(buyer.balance - before, 700_000, "refund");
        vm.assertEq(seller.balance, 300_000, "what was redeemed stays");
        vm.assertTrue(trade.orders(id).is_finished, "finished");
        vm.assertTrue(trade.account(id).state == DataTrade.State.Disputed, "state");

        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderAlreadyFinished.selector, id));
        trade.dispute(order, 5, "wrong", proof, signature);
        signature = ack(BUYER_KEY, id, 1000);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderAlreadyFinished.selector, id));
        vm.prank(seller);
        trade.settle(order, 1000, signature);
    }

    function test_dispute_refusals() public {
        DataTrade.Order memory live = terms();
        bytes32 id = create(live);
        bytes32[] memory proof = new bytes32[](3);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderWithoutRoot.selector, id));
        trade.dispute(live, 0, 0, proof, "");

        DataTrade.Order memory order;
        (order, id) = createRooted(8);
        bytes memory signature = claim(BUYER_KEY, id, 5, "wrong", proof);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.ClaimNotSignedBySeller.selector, buyer, seller));
        trade.dispute(order, 5, "wrong", proof, signature);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.ClaimNotSignedBySeller.selector, address(0), seller));
        trade.dispute(order, 5, "wrong", proof, "");
        signature = claim(SELLER_KEY, id, 5, "wrong", proof);
        vm.expectPartialRevert(DataTrade.ClaimNotSignedBySeller.selector);
        trade.dispute(order, 4, "wrong", proof, signature);
        vm.expectPartialRevert(DataTrade.ClaimNotSignedBySeller.selector);
        trade.dispute(order, 5, "other", proof, signature);
        proof[2] = "other";
        vm.expectPartialRevert(DataTrade.ClaimNotSignedBySeller.selector);
        trade.dispute(order, 5, "wrong", proof, signature);

        proof = new bytes32[](65);
        signature = claim(SELLER_KEY, id, 5, "wrong", proof);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.ProofTooLong.selector, 65));
        trade.dispute(order, 5, "wrong", proof, signature);
        proof = new bytes32[](64);
        signature = claim(SELLER_KEY, id, 5, "wrong", proof);
        trade.dispute(order, 5, "wrong", proof, signature);
    }

    /// @dev Hashes that run out of gas must not pass for a contradiction.
    function test_dispute_genuineChunkIsSafeAtAnyGas() public {
        bytes32[] memory leaves = makeLeaves(8);
        (DataTrade.Order memory order, bytes32 id) = createRooted(8);
        bytes32[] memory proof = path(leaves, 3);
        bytes memory signature = claim(SELLER_KEY, id, 3, leaves[3], proof);
        for (uint256 gasLimit = 20_000; gasLimit < 60_000; gasLimit += 97) {
            try trade.dispute{gas: gasLimit}(order, 3, leaves[3], proof, signature) {
                vm.assertTrue(false, "disputed a genuine chunk");
            } catch {}
        }
        vm.expectRevert(abi.encodeWithSelector(DataTrade.ChunkIsGenuine.selector, id, 3));
        trade.dispute(order, 3, leaves[3], proof, signature);
    }

    /// @dev Against the definitions of RFC 9162 sections 2.1.1 and 2.1.3.1, taken literally, for every leaf of every
    /// size up to 20, with each way to be wrong.
    function test_dispute_agreesWithTheRfcOnEveryTree() public {
        for (uint256 size = 1; size <= 20; ++size) {
            bytes32[] memory leaves = makeLeaves(size);
            (DataTrade.Order memory order, bytes32 id) = createRooted(size);
            for (uint64 i = 0; i < size; ++i) {
                bytes32[] memory proof = path(leaves, i);
                bytes memory signature = claim(SELLER_KEY, id, i, leaves[i], proof);
                vm.expectRevert(abi.encodeWithSelector(DataTrade.ChunkIsGenuine.selector, id, i));
                trade.dispute(order, i, leaves[i], proof, signature);

                expectDisputed(order, i, ~leaves[i], proof);
                expectDisputed(order, uint64(size) + i, leaves[i], proof);
                if (size > 1) expectDisputed(order, (i + 1) % uint64(size), leaves[i], proof);
                expectDisputed(order, i, leaves[i], resized(proof, proof.length + 1));
                if (proof.length > 0) {
                    expectDisputed(order, i, leaves[i], resized(proof, proof.length - 1));
                    bytes32[] memory flipped = resized(proof, proof.length);
                    flipped[i % proof.length] ^= bytes32(uint256(1));
                    expectDisputed(order, i, leaves[i], flipped);
                }
            }
        }
    }

    /// @dev The number of chunks is part of what was agreed: a proof for a tree of another size proves nothing.
    function test_dispute_proofOfAnotherSizeIsAContradiction() public {
        bytes32[] memory leaves = makeLeaves(2);
        bytes32[] memory proof = new bytes32[](1);
        DataTrade.Order memory order = terms();
        order.dataRoot = treeHash(leaves, 0, 2);
        // Agreed on one chunk: the proof goes on after the root.
        order.chunks = 1;
        proof[0] = leaves[0];
        expectDisputed(order, 0, leaves[1], proof);
        // Agreed on four: the proof ends before the root.
        order.chunks = 4;
        proof[0] = leaves[1];
        expectDisputed(order, 0, leaves[0], proof);
        // And on two, as it is.
        order.chunks = 2;
        bytes32 id = create(order);
        bytes memory signature = claim(SELLER_KEY, id, 0, leaves[0], proof);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.ChunkIsGenuine.selector, id, 0));
        trade.dispute(order, 0, leaves[0], proof, signature);
    }

    uint256 private salts = 1 << 128;

    /// @dev A dispute ends an order: each gets an order of its own.
    function expectDisputed(DataTrade.Order memory order, uint64 index, bytes32 leaf, bytes32[] memory proof) private {
        DataTrade.Order memory own = withSalt(order, ++salts);
        bytes32 id = create(own, 1);
        trade.dispute(own, index, leaf, proof, claim(SELLER_KEY, id, index, leaf, proof));
        vm.assertTrue(trade.account(id).state == DataTrade.State.Disputed, "disputed");
    }

    function createRooted(uint256 chunks) private returns (DataTrade.Order memory order, bytes32 id) {
        order = terms();
        order.chunks = uint64(chunks);
        order.dataRoot = treeHash(makeLeaves(chunks), 0, chunks);
        id = create(order);
    }

    function makeLeaves(uint256 size) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) {
            leaves[i] = sha256(abi.encodePacked(uint8(0), "chunk ", i));
        }
    }

    /// @dev RFC 9162 section 2.1.1 for leaves `from` to `to`.
    function treeHash(bytes32[] memory leaves, uint256 from, uint256 to) private pure returns (bytes32) {
        if (to - from == 1) return leaves[from];
        uint256 middle = from + split(to - from);
        return sha256(abi.encodePacked(uint8(1), treeHash(leaves, from, middle), treeHash(leaves, middle, to)));
    }

    /// @dev The largest power of two below n.
    function split(uint256 n) private pure returns (uint256 k) {
        k = 1;
        while (2 * k < n) k *= 2;
    }

    /// @dev RFC 9162 section 2.1.3.1.
    function path(bytes32[] memory leaves, uint256 index) private pure returns (bytes32[] memory proof) {
        proof = new bytes32[](0);
        uint256 from = 0;
        uint256 to = leaves.length;
        // From the root down; the RFC counts from the leaf up.
        while (to - from > 1) {
            uint256 middle = from + split(to - from);
            bytes32[] memory longer = new bytes32[](proof.length + 1);
            for (uint256 i = 0; i < proof.length; ++i) {
                longer[i + 1] = proof[i];
            }
            if (index < middle) {
                longer[0] = treeHash(leaves, middle, to);
                to = middle;
            } else {
                longer[0] = treeHash(leaves, from, middle);
                from = middle;
            }
            proof = longer;
        }
    }

    function resized(bytes32[] memory proof, uint256 length) private pure returns (bytes32[] memory out) {
        out = new bytes32[](length);
        for (uint256 i = 0; i < length && i < proof.length; ++i) {
            out[i] = proof[i];
        }
    }

    // -------------------------------------------------------------------------------------------------------- rate

    function test_rate_oncePerSideAndWeighedByWhatWasPaid() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        settle(order, id, 400);
        vm.expectEmit(address(trade));
        emit DataTrade.Rated(id, buyer, seller, address(0), 5, 400_000, "fine");
        vm.prank(buyer);
        trade.rate(order, 5, "fine", "");
        vm.expectEmit(address(trade));
        emit DataTrade.Rated(id, seller, buyer, address(0), 2, 400_000, "slow");
        vm.prank(seller);
        trade.rate(order, 2, "slow", "");
        assertReputation(seller, 2_000_000, 400_000, 1);
        assertReputation(buyer, 800_000, 400_000, 1);
        vm.assertTrue(trade.account(id).ratedByBuyer && trade.account(id).ratedBySeller, "both rated");

        vm.expectRevert(abi.encodeWithSelector(DataTrade.AlreadyRated.selector, id, buyer));
        vm.prank(buyer);
        trade.rate(order, 5, "fine", "");
        vm.expectRevert(abi.encodeWithSelector(DataTrade.AlreadyRated.selector, id, seller));
        vm.prank(seller);
        trade.rate(order, 5, "fine", "");

        order = withSalt(order, 1);
        settle(order, create(order), 100);
        vm.prank(buyer);
        trade.rate(order, 1, 0, "");
        assertReputation(seller, 2_100_000, 500_000, 2);
    }

    function test_rate_bySignatureFromAnyone() public {
        uint256[3] memory keys = [BUYER_KEY, SESSION_KEY, SELLER_KEY];
        for (uint256 i = 0; i < keys.length; ++i) {
            DataTrade.Order memory order = withSalt(terms(), i);
            bytes32 id = create(order);
            settle(order, id, 1000);
            vm.prank(stranger);
            trade.rate(order, 4, "ok", rating(keys[i], id, 4, "ok"));
            vm.assertTrue(trade.account(id).ratedByBuyer == (i < 2), "buyer");
            vm.assertTrue(trade.account(id).ratedBySeller == (i == 2), "seller");
        }
        assertReputation(seller, 8_000_000, 2_000_000, 2);
        assertReputation(buyer, 4_000_000, 1_000_000, 1);
    }

    function test_rate_sessionKeyAndBuyerAreOneSide() public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        settle(order, id, 1000);
        trade.rate(order, 4, 0, rating(SESSION_KEY, id, 4, 0));
        vm.expectRevert(abi.encodeWithSelector(DataTrade.AlreadyRated.selector, id, buyer));
        vm.prank(buyer);
        trade.rate(order, 5, 0, "");
    }

    function test_rate_refusals() public {
        DataTrade.Order memory order = terms();
        bytes32 id = trade.orderId(order);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderNotFound.selector, id));
        trade.rate(order, 5, 0, "");
        create(order);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderNotFinished.selector, id));
        vm.prank(buyer);
        trade.rate(order, 5, 0, "");
        settle(order, id, 1000);
        for (uint8 score = 0; score <= 6; score += 6) {
            vm.expectRevert(abi.encodeWithSelector(DataTrade.ScoreOutOfRange.selector, score));
            vm.prank(buyer);
            trade.rate(order, score, 0, "");
        }
        vm.expectRevert(abi.encodeWithSelector(DataTrade.RaterNotInvolved.selector, stranger, buyer, seller));
        vm.prank(stranger);
        trade.rate(order, 5, 0, "");
        bytes memory signature = rating(BUYER_KEY, id, 5, 0);
        vm.expectPartialRevert(DataTrade.RaterNotInvolved.selector);
        trade.rate(order, 1, 0, signature);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.RaterNotInvolved.selector, address(0), buyer, seller));
        trade.rate(order, 5, 0, new bytes(65));
    }

    function test_rate_brokenSignatureIsNoZeroSessionKey() public {
        DataTrade.Order memory order = terms();
        order.ackSigner = address(0);
        bytes32 id = create(order);
        vm.prank(seller);
        trade.settle(order, 0, "");
        vm.expectRevert(abi.encodeWithSelector(DataTrade.RaterNotInvolved.selector, address(0), buyer, seller));
        trade.rate(order, 5, 0, new bytes(65));
        vm.assertFalse(trade.account(id).ratedByBuyer, "not rated");
    }

    function assertReputation(address party, uint256 weightedScore, uint256 weight, uint256 count) private view {
        (uint256 a, uint256 b, uint256 c) = trade.reputation(party, address(0));
        vm.assertEq(a, weightedScore, "weighted score");
        vm.assertEq(b, weight, "weight");
        vm.assertEq(c, count, "count");
    }

    // ------------------------------------------------------------------------------------------- receivers, tokens

    function test_push_receiversThatFailGetCredit() public {
        Receiver.Mode[3] memory modes = [Receiver.Mode.Revert, Receiver.Mode.Burn, Receiver.Mode.Bomb];
        for (uint256 i = 0; i < modes.length; ++i) {
            Receiver receiver = new Receiver(modes[i]);
            DataTrade.Order memory order = terms();
            order.seller = address(receiver);
            bytes32 id = create(order);
            bytes memory signature = ack(BUYER_KEY, id, 600);
            vm.expectEmit(address(trade));
            emit Payouts.Credited(address(0), address(receiver), 600_000);
            receiver.execute(address(trade), abi.encodeCall(trade.settle, (order, 600, signature)));
            vm.assertTrue(trade.orders(id).is_finished, "finished");

            bytes memory toSelf = abi.encodeCall(trade.withdraw, (address(0), address(receiver)));
            vm.expectRevert(
                abi.encodeWithSelector(Payouts.WithdrawFailed.selector, address(0), address(receiver))
            );
            receiver.execute{gas: 1_000_000}(address(trade), toSelf);
            uint256 before = stranger.balance;
            receiver.execute(address(trade), abi.encodeCall(trade.withdraw, (address(0), stranger)));
            vm.assertEq(stranger.balance - before, 600_000, "withdrawn");
            vm.assertEq(trade.credit(address(0), address(receiver)), 0, "credit");
        }
    }

    /// @dev The cost of a receiver that burns its gas or returns a lot stays within the stipend.
    function test_push_hostileReceiversCostLittle() public {
        Receiver.Mode[3] memory modes = [Receiver.Mode.Revert, Receiver.Mode.Burn, Receiver.Mode.Bomb];
        for (uint256 i = 0; i < modes.length; ++i) {
            DataTrade.Order memory order = terms();
            order.seller = address(new Receiver(modes[i]));
            bytes32 id = create(order);
            bytes memory signature = ack(BUYER_KEY, id, 1000);
            uint256 before = gasleft();
            trade.settle(order, 1000, signature);
            vm.assertLe(before - gasleft(), 160_000, "gas");
        }
    }

    function test_push_buyerThatFailsCantStopTheSeller() public {
        Receiver receiver = new Receiver(Receiver.Mode.Revert);
        vm.deal(address(receiver), 10 ether);
        DataTrade.Order memory order = terms();
        order.buyer = address(receiver);
        bytes32 id = create(order);
        settle(order, id, 250);
        vm.assertEq(seller.balance, 250_000, "seller");
        vm.assertEq(trade.credit(address(0), address(receiver)), 750_000, "buyer's credit");
    }

    function test_push_callerCantStarveItIntoCredit() public {
        DataTrade.Order memory order = terms();
        // These need nearly all of their share.
        order.seller = address(new Receiver(Receiver.Mode.Store));
        settleWithLeastGas(order);
        vm.assertEq(order.seller.balance, 1_000_000, "ETH was pushed");

        HeavyToken token = new HeavyToken();
        fund(token.mint, token.approve);
        order.token = address(token);
        settleWithLeastGas(order);
        vm.assertEq(token.balanceOf(order.seller), 1_000_000, "the token was pushed");
    }

    /// @dev Where a call goes over from running out of gas to success, it must do all of its work.
    function settleWithLeastGas(DataTrade.Order memory order) private {
        bytes32 id = create(order);
        bytes memory signature = ack(BUYER_KEY, id, 1000);
        for (uint256 gasLimit = 30_000; !trade.orders(id).is_finished; gasLimit += 53) {
            try trade.settle{gas: gasLimit}(order, 1000, signature) {} catch {}
        }
        vm.assertEq(trade.credit(order.token, order.seller), 0, "credit");
    }

    function test_withdraw_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(Payouts.NothingToWithdraw.selector, address(0), address(this)));
        trade.withdraw(address(0), address(this));

        Receiver receiver = new Receiver(Receiver.Mode.Revert);
        DataTrade.Order memory order = terms();
        order.seller = address(receiver);
        bytes32 id = create(order);
        trade.settle(order, 1000, ack(BUYER_KEY, id, 1000));
        vm.expectRevert(abi.encodeWithSelector(Payouts.WithdrawFailed.selector, address(0), address(0)));
        receiver.execute(address(trade), abi.encodeCall(trade.withdraw, (address(0), address(0))));
        vm.expectEmit(address(trade));
        emit Payouts.Withdrawn(address(0), address(receiver), stranger, 1_000_000);
        receiver.execute(address(trade), abi.encodeCall(trade.withdraw, (address(0), stranger)));
        vm.expectRevert(abi.encodeWithSelector(Payouts.NothingToWithdraw.selector, address(0), address(receiver)));
        receiver.execute(address(trade), abi.encodeCall(trade.withdraw, (address(0), stranger)));
    }

    function test_token_withoutReturnValueWorks() public {
        SilentToken token = new SilentToken();
        fund(token.mint, token.approve);
        DataTrade.Order memory order = withToken(address(token));
        settle(order, create(order), 250);
        vm.assertEq(token.balanceOf(seller), 250_000, "seller");
        vm.assertEq(token.balanceOf(address(trade)), 0, "contract");
    }

    function test_token_thatReturnsFalse() public {
        FalseToken token = new FalseToken();
        fund(token.mint, token.approve);
        DataTrade.Order memory order = withToken(address(token));
        token.refuse(true);
        vm.expectRevert(abi.encodeWithSelector(Payouts.TokenTransferFailed.selector, token));
        create(order);
        token.refuse(false);
        bytes32 id = create(order);
        token.refuse(true);
        settle(order, id, 250);
        vm.assertEq(trade.credit(address(token), seller), 250_000, "seller's credit");
        vm.assertEq(trade.credit(address(token), buyer), 750_000, "buyer's credit");
        vm.expectRevert(abi.encodeWithSelector(Payouts.WithdrawFailed.selector, token, seller));
        vm.prank(seller);
        trade.withdraw(address(token), seller);
        token.refuse(false);
        vm.prank(seller);
        trade.withdraw(address(token), stranger);
        vm.assertEq(token.balanceOf(stranger), 250_000, "withdrawn");
    }

    function test_token_thatTakesAFeeIsRefused() public {
        FeeToken token = new FeeToken();
        fund(token.mint, token.approve);
        DataTrade.Order memory order = withToken(address(token));
        vm.expectRevert(abi.encodeWithSelector(Payouts.TokenTookFee.selector, token, 990_000, 1_000_000));
        create(order);
    }

    function test_token_withoutAllowanceOrCode() public {
        SilentToken token = new SilentToken();
        token.mint(buyer, 1_000_000);
        DataTrade.Order memory order = withToken(address(token));
        vm.expectRevert(abi.encodeWithSelector(Payouts.TokenTransferFailed.selector, token));
        create(order);
        order.token = address(0xdead);
        vm.expectRevert(abi.encodeWithSelector(Payouts.TokenTransferFailed.selector, order.token));
        create(order);
    }

    function test_token_thatBlocksOneSideCantStopTheOther() public {
        BlockingToken token = new BlockingToken();
        fund(token.mint, token.approve);
        DataTrade.Order memory order = withToken(address(token));
        bytes32 id = create(order);
        token.setBlocked(buyer, true);
        settle(order, id, 250);
        vm.assertEq(token.balanceOf(seller), 250_000, "seller");
        vm.assertEq(trade.credit(address(token), buyer), 750_000, "buyer's credit");
        vm.prank(buyer);
        trade.withdraw(address(token), stranger);
        vm.assertEq(token.balanceOf(stranger), 750_000, "withdrawn");
    }

    function test_token_thatBurnsGasCostsABoundedAmount() public {
        BurningToken token = new BurningToken();
        fund(token.mint, token.approve);
        DataTrade.Order memory order = withToken(address(token));
        bytes32 id = create(order);
        token.burn(true);
        bytes memory signature = ack(BUYER_KEY, id, 250);
        vm.prank(seller);
        uint256 before = gasleft();
        trade.settle(order, 250, signature);
        vm.assertLe(before - gasleft(), 350_000, "gas for two failed transfers");
        vm.assertEq(trade.credit(address(token), seller), 250_000, "seller's credit");
    }

    function test_token_thatVanishesLeavesCredit() public {
        SilentToken token = new SilentToken();
        fund(token.mint, token.approve);
        DataTrade.Order memory order = withToken(address(token));
        bytes32 id = create(order);
        vm.etch(address(token), "");
        settle(order, id, 1000);
        vm.assertEq(trade.credit(address(token), seller), 1_000_000, "no code is no transfer");
    }

    // -------------------------------------------------------------------------------------------------- reentrancy

    /// @dev A deposit inside a deposit would be counted in both.
    function test_reenter_everyCallThatMovesMoneyIsRefused() public {
        DataTrade.Order memory other = withSalt(terms(), 99);
        create(other, 1);
        DataTrade.Settlement[] memory batch = new DataTrade.Settlement[](1);
        batch[0].order = other;
        bytes[7] memory calls = [
            abi.encodeCall(trade.create, (other, 1)),
            abi.encodeCall(trade.topUp, (other, 1)),
            abi.encodeCall(trade.redeem, (other, 0, "")),
            abi.encodeCall(trade.settle, (other, 0, "")),
            abi.encodeCall(trade.settleBatch, (batch)),
            abi.encodeCall(trade.dispute, (other, 0, 0, new bytes32[](0), "")),
            abi.encodeCall(trade.withdraw, (address(0), stranger))
        ];
        HookToken token = new HookToken();
        fund(token.mint, token.approve);
        for (uint256 i = 0; i < calls.length; ++i) {
            token.arm(address(trade), calls[i]);
            create(withSalt(withToken(address(token)), i));
            vm.assertFalse(token.hookSucceeded(), "the hook's call");
            vm.assertEq(bytes32(token.hookAnswer()), bytes32(Payouts.Reentered.selector), "its reason");
        }
    }

    function test_reenter_sellerThatCallsBackGetsNothingTwice() public {
        Receiver receiver = new Receiver(Receiver.Mode.Call);
        DataTrade.Order memory order = terms();
        order.seller = address(receiver);
        bytes32 id = create(order);
        create(withSalt(order, 1));
        bytes memory signature = ack(BUYER_KEY, id, 1000);
        receiver.arm(address(trade), abi.encodeCall(trade.settle, (order, 1000, signature)));
        trade.settle(order, 1000, signature);
        vm.assertFalse(receiver.callSucceeded(), "the call back");
        vm.assertEq(address(trade).balance + address(receiver).balance, 2_000_000, "sum");
        vm.assertEq(address(trade).balance - trade.credit(address(0), address(receiver)), 1_000_000, "other deposit");
    }

    // ------------------------------------------------------------------------------- a chain that gets another id

    function test_chainId_everyCallReachesOrdersOpenedBefore() public {
        uint256 origin = block.chainid;
        DataTrade.Order[] memory orders = new DataTrade.Order[](6);
        bytes32[] memory ids = new bytes32[](6);
        for (uint256 i = 0; i < 4; ++i) {
            orders[i] = withSalt(terms(), i);
            ids[i] = create(orders[i], 500_000);
        }
        (orders[4], ids[4]) = createRooted(8);
        orders[5] = withSalt(terms(), 5);
        bytes memory old = ack(BUYER_KEY, ids[0], 900);
        vm.chainId(4242);
        vm.assertEq(trade.originChainId(), origin, "the id at the deployment");
        ids[5] = create(orders[5]);
        for (uint256 i = 0; i < 6; ++i) vm.assertEq(trade.orderId(orders[i]), ids[i], "named as before");

        // What was signed for the chain of the old id counts there alone: on both it would pay twice.
        vm.expectPartialRevert(DataTrade.AckNotSignedByBuyer.selector);
        trade.redeem(orders[0], 900, old);
        vm.expectPartialRevert(DataTrade.AckNotSignedByBuyer.selector);
        vm.prank(seller);
        trade.settle(orders[0], 900, old);

        vm.prank(stranger);
        trade.topUp{value: 500_000}(orders[0], 500_000);
        trade.redeem(orders[0], 300, ack(SESSION_KEY, ids[0], 300));
        vm.assertEq(seller.balance, 300_000, "redeemed");
        vm.prank(buyer);
        trade.updateTransferred(ids[0], 400);
        settle(orders[0], ids[0], 700);
        vm.assertEq(seller.balance, 700_000, "settled");
        trade.rate(orders[0], 5, "ok", rating(BUYER_KEY, ids[0], 5, "ok"));
        vm.assertTrue(trade.account(ids[0]).ratedByBuyer, "rated");

        DataTrade.Settlement[] memory batch = new DataTrade.Settlement[](2);
        batch[0] = DataTrade.Settlement(orders[1], 200, ack(BUYER_KEY, ids[1], 200));
        batch[1] = DataTrade.Settlement(orders[2], 300, ack(BUYER_KEY, ids[2], 300));
        vm.prank(seller);
        trade.settleBatch(batch);
        vm.assertEq(seller.balance, 1_200_000, "settled together");

        uint256 before = buyer.balance;
        trade.dispute(orders[4], 5, "wrong", new bytes32[](3), claim(SELLER_KEY, ids[4], 5, "wrong", new bytes32[](3)));
        vm.assertEq(buyer.balance - before, 1_000_000, "disputed");

        vm.prank(buyer);
        trade.requestClose(orders[3]);
        vm.warp(NOW + GRACE);
        bytes32[] memory asked = new bytes32[](1);
        asked[0] = ids[3];
        vm.assertTrue(trade.overdue(asked)[0], "overdue");
        before = buyer.balance;
        trade.settle(orders[3], 0, "");
        vm.assertEq(buyer.balance - before, 500_000, "given back after the buyer's close request");
        settle(orders[5], ids[5], 1000);
        vm.assertEq(seller.balance, 2_200_000, "opened after the change");
    }

    /// @dev Both branches of a fork have the order and its deposit. What is signed for one pays on it alone.
    function test_chainId_signaturesOfOneBranchDoNotCountOnTheOther() public {
        (DataTrade.Order memory order, bytes32 id) = createRooted(8);
        uint256 origin = block.chainid;
        bytes memory here = ack(BUYER_KEY, id, 300);
        bytes32[] memory proof = new bytes32[](3);
        bytes memory wrong = claim(SELLER_KEY, id, 5, "wrong", proof);
        vm.chainId(4242);
        bytes memory there = ack(BUYER_KEY, id, 1000);
        vm.expectPartialRevert(DataTrade.AckNotSignedByBuyer.selector);
        trade.redeem(order, 300, here);
        vm.expectPartialRevert(DataTrade.ClaimNotSignedBySeller.selector);
        trade.dispute(order, 5, "wrong", proof, wrong);
        vm.chainId(origin);
        vm.expectPartialRevert(DataTrade.AckNotSignedByBuyer.selector);
        trade.redeem(order, 1000, there);
        trade.redeem(order, 300, here);
        vm.assertEq(seller.balance, 300_000, "what the branch was signed for");
    }

    // --------------------------------------------------------------------------------------------------- the rest

    function test_domain_eip5267() public view {
        (bytes1 fields, string memory name, string memory version, uint256 chain, address verifier, bytes32 salt, uint256[] memory extensions)
        = trade.eip712Domain();
        vm.assertEq(uint8(fields), 0x0f, "fields");
        vm.assertEq(keccak256(bytes(name)), keccak256("Sluice DataTrade"), "name");
        vm.assertEq(keccak256(bytes(version)), keccak256("1"), "version");
        vm.assertEq(chain, block.chainid, "chain");
        vm.assertEq(verifier, address(trade), "contract");
        vm.assertEq(salt, bytes32(0), "salt");
        vm.assertEq(extensions.length, 0, "extensions");
        vm.assertEq(trade.grace(), GRACE, "grace");
    }

    function test_plainEtherIsRefused() public {
        vm.prank(buyer);
        (bool success,) = address(trade).call{value: 1}("");
        vm.assertFalse(success, "sent without a call");
    }

    // ----------------------------------------------------------------------------------------------------- helpers

    function withSalt(DataTrade.Order memory order, uint256 salt) private pure returns (DataTrade.Order memory) {
        return DataTrade.Order(
            order.buyer,
            order.seller,
            order.token,
            order.ackSigner,
            order.price,
            order.totalData,
            order.chunks,
            order.dataRoot,
            order.deadline,
            bytes32(salt)
        );
    }

    function withToken(address token) private view returns (DataTrade.Order memory order) {
        order = terms();
        order.token = token;
    }

    /// @dev Gives the buyer a billion units, and the contract the allowance.
    function fund(
        function(address, uint256) external mint,
        function(address, uint256) external returns (bool) approve
    ) private {
        mint(buyer, 1_000_000_000);
        vm.prank(buyer);
        approve(address(trade), type(uint256).max);
    }
}
