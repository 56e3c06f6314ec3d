// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DataTrade} from "../../src/contracts/solidity/DataTrade.sol";
import {DataTradeFixture} from "./DataTradeFixture.sol";

contract DataTradeFuzzTest is DataTradeFixture {
    function setUp() public {
        begin();
    }

    /// @dev price * transferred / totalData rounded down, computed without a product: by long division in pieces.
    function share(uint256 price, uint256 transferred, uint256 totalData) private pure returns (uint256) {
        return price / totalData * transferred + (price % totalData) * transferred / totalData;
    }

    function testFuzz_settle_paysInProportion(uint104 price, uint48 totalData, uint48 transferred, uint104 deposit)
        public
    {
        DataTrade.Order memory order = terms();
        order.price = price;
        order.totalData = uint64(bound(totalData, 1, type(uint48).max));
        uint64 count = uint64(bound(transferred, 0, order.totalData));
        uint256 paidIn = price == 0 ? 0 : bound(deposit, 1, price);
        bytes32 id = create(order, paidIn);
        uint256 before = buyer.balance;
        settle(order, id, count);
        uint256 expected = share(price, count, order.totalData);
        if (expected > paidIn) expected = paidIn;
        vm.assertEq(seller.balance, expected, "seller");
        vm.assertEq(buyer.balance - before, paidIn - expected, "buyer");
        vm.assertEq(address(trade).balance, 0, "contract");
    }

    /// @dev However a delivery is cut into vouchers, the seller ends with the same sum.
    function testFuzz_redeem_stepsAddUp(uint104 price, uint48 totalData, uint48[4] memory steps) public {
        DataTrade.Order memory order = terms();
        order.price = bound(price, 1, type(uint104).max);
        order.totalData = uint64(bound(totalData, 1, type(uint48).max));
        bytes32 id = create(order);
        uint64 count = 0;
        for (uint256 i = 0; i < steps.length; ++i) {
            uint64 step = uint64(bound(steps[i], 0, order.totalData - count));
            if (step == 0) continue;
            count += step;
            trade.redeem(order, count, ack(BUYER_KEY, id, count));
            vm.assertEq(seller.balance, share(order.price, count, order.totalData), "so far");
        }
        settle(order, id, count);
        vm.assertEq(seller.balance, share(order.price, count, order.totalData), "in the end");
        vm.assertEq(address(trade).balance, 0, "contract");
    }

    /// @dev Every field at any value comes back out of its part of a slot, and no write disturbs a neighbour.
    function testFuzz_packing_keepsFieldsApart(
        uint104 price,
        uint104 deposit,
        uint48 totalData,
        uint48 transferred,
        uint32 start,
        uint32 deadline
    ) public {
        DataTrade.Order memory order = terms();
        order.price = bound(price, 1, type(uint104).max);
        order.totalData = uint64(bound(totalData, 1, type(uint48).max));
        uint256 time = bound(start, 1, type(uint32).max - GRACE - 1);
        order.deadline = uint64(bound(deadline, time + 1, type(uint32).max - GRACE));
        uint256 paidIn = bound(deposit, 1, order.price);
        uint64 count = uint64(bound(transferred, 1, order.totalData));
        vm.warp(time);
        bytes32 id = create(order, paidIn);
        vm.prank(buyer);
        trade.updateTransferred(id, count);
        vm.prank(buyer);
        trade.requestClose(order);

        DataTrade.OrderView memory shown = trade.orders(id);
        vm.assertEq(shown.buyer, buyer, "buyer");
        vm.assertEq(shown.seller, seller, "seller");
        vm.assertEq(shown.total_data, order.totalData, "total");
        vm.assertEq(shown.data_transfered, count, "transferred");
        vm.assertEq(shown.started_from, time, "start");
        vm.assertEq(shown.deadline, order.deadline, "deadline");
        DataTrade.Account memory account = trade.account(id);
        vm.assertEq(account.deposit, paidIn, "deposit");
        vm.assertEq(account.closeAt, time + GRACE, "close");
        vm.assertEq(account.paid, 0, "paid");
        vm.assertTrue(account.state == DataTrade.State.Open, "state");
        vm.assertFalse(account.ratedByBuyer || account.ratedBySeller, "rated");

        settle(order, id, 0);
        vm.prank(seller);
        trade.rate(order, 5, 0, "");
        account = trade.account(id);
        uint256 expected = share(order.price, count, order.totalData);
        vm.assertEq(account.paid, expected < paidIn ? expected : paidIn, "paid after");
        vm.assertEq(account.deposit, paidIn, "deposit after");
        vm.assertEq(account.closeAt, time + GRACE, "close after");
        vm.assertFalse(account.ratedByBuyer, "rated by the buyer after");
        vm.assertTrue(account.ratedBySeller, "rated by the seller after");
        vm.assertEq(trade.orders(id).data_transfered, count, "transferred after");
        vm.assertEq(trade.orders(id).deadline, order.deadline, "deadline after");
    }

    /// @dev Any other terms are another order.
    function testFuzz_id_commitsToEveryField(uint8 field, bytes32 value) public {
        DataTrade.Order memory order = terms();
        create(order);
        DataTrade.Order memory other = terms();
        field = uint8(bound(field, 0, 9));
        if (field == 0) other.buyer = address(uint160(uint256(value)));
        if (field == 1) other.seller = address(uint160(uint256(value)));
        if (field == 2) other.token = address(uint160(uint256(value)));
        if (field == 3) other.ackSigner = address(uint160(uint256(value)));
        if (field == 4) other.price = uint256(value);
        if (field == 5) other.totalData = uint64(uint256(value));
        if (field == 6) other.chunks = uint64(uint256(value));
        if (field == 7) other.dataRoot = value;
        if (field == 8) other.deadline = uint64(uint256(value));
        if (field == 9) other.salt = value;
        vm.assume(keccak256(abi.encode(order)) != keccak256(abi.encode(other)));
        bytes32 id = trade.orderId(other);
        vm.expectRevert(abi.encodeWithSelector(DataTrade.OrderNotFound.selector, id));
        vm.prank(seller);
        trade.settle(other, 0, "");
    }

    /// @dev No bit of a voucher can change.
    function testFuzz_ack_anyFlipIsRefused(uint256 bit) public {
        DataTrade.Order memory order = terms();
        bytes32 id = create(order);
        bytes memory signature = ack(BUYER_KEY, id, 300);
        bit = bound(bit, 0, 65 * 8 - 1);
        signature[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        vm.expectPartialRevert(DataTrade.AckNotSignedByBuyer.selector);
        trade.redeem(order, 300, signature);
    }
}
