// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DataTrade} from "../../src/contracts/solidity/DataTrade.sol";
import {Test} from "./Test.sol";

/// @dev The contract, two sides with keys, and what they sign.
abstract contract DataTradeFixture is Test {
    uint32 internal constant GRACE = 900;
    uint256 internal constant NOW = 1_800_000_000;
    uint64 internal constant DEADLINE = uint64(NOW + 1 days);

    uint256 internal constant BUYER_KEY = 0xb1;
    uint256 internal constant SELLER_KEY = 0x5e;
    uint256 internal constant SESSION_KEY = 0x5e55;
    uint256 internal constant STRANGER_KEY = 0x57;

    /// @dev Order of secp256k1 (SEC 2).
    uint256 internal constant CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    address internal immutable buyer = vm.addr(BUYER_KEY);
    address internal immutable seller = vm.addr(SELLER_KEY);
    address internal immutable session = vm.addr(SESSION_KEY);
    address internal immutable stranger = vm.addr(STRANGER_KEY);

    DataTrade internal trade;

    function begin() internal {
        trade = DataTrade(deploy("DataTrade", abi.encode(GRACE)));
        vm.warp(NOW);
        vm.deal(buyer, type(uint128).max);
        vm.deal(stranger, 100 ether);
    }

    /// @dev 1,000 bytes for 1,000,000 wei.
    function terms() internal view returns (DataTrade.Order memory order) {
        order.buyer = buyer;
        order.seller = seller;
        order.ackSigner = session;
        order.price = 1_000_000;
        order.totalData = 1000;
        order.deadline = DEADLINE;
    }

    function create(DataTrade.Order memory order, uint256 deposit) internal returns (bytes32 id) {
        vm.prank(order.buyer);
        id = trade.create{value: order.token == address(0) ? deposit : 0}(order, deposit);
    }

    function create(DataTrade.Order memory order) internal returns (bytes32) {
        return create(order, order.price);
    }

    function sign(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(key, keccak256(abi.encodePacked(hex"1901", trade.DOMAIN_SEPARATOR(), structHash)));
        return abi.encodePacked(r, s, v);
    }

    function ackHash(bytes32 id, uint64 transferred) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256("Ack(bytes32 orderId,uint64 transferred)"), id, transferred));
    }

    function ack(uint256 key, bytes32 id, uint64 transferred) internal view returns (bytes memory) {
        return sign(key, ackHash(id, transferred));
    }

    function claim(uint256 key, bytes32 id, uint64 index, bytes32 leaf, bytes32[] memory proof)
        internal
        view
        returns (bytes memory)
    {
        bytes32 typeHash = keccak256("ChunkClaim(bytes32 orderId,uint64 index,bytes32 leaf,bytes32 proofHash)");
        return sign(key, keccak256(abi.encode(typeHash, id, index, leaf, keccak256(abi.encodePacked(proof)))));
    }

    function rating(uint256 key, bytes32 id, uint8 score, bytes32 comment) internal view returns (bytes memory) {
        bytes32 typeHash = keccak256("Rating(bytes32 orderId,uint8 score,bytes32 commentHash)");
        return sign(key, keccak256(abi.encode(typeHash, id, score, comment)));
    }

    function settle(DataTrade.Order memory order, bytes32 id, uint64 transferred) internal {
        bytes memory signature = ack(SESSION_KEY, id, transferred);
        vm.prank(order.seller);
        trade.settle(order, transferred, signature);
    }

    function recorded(bytes32 id) internal view returns (uint64) {
        return trade.orders(id).data_transfered;
    }
}
