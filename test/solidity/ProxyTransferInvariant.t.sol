// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ProxyTransfer} from "../../src/contracts/solidity/ProxyTransfer.sol";
import {SilentToken} from "./Hostile.sol";
import {ProxyTransferFixture} from "./ProxyTransferFixture.sol";

/// @dev Plays with few accounts and very few places, and keeps books of its own beside the contract's.
contract Exchange is ProxyTransferFixture {
    SilentToken public immutable token;
    uint32 private constant ACCOUNTS = 4;

    /// @dev The newest key of each account.
    uint256[5] private keys;
    uint256 private nextKey = 0x1000;
    uint256 private time = NOW;

    mapping(uint32 asset => mapping(uint32 account => uint256)) public books;
    mapping(uint32 asset => uint256) public deposited;
    mapping(uint32 asset => uint256) public taken;
    /// @dev What was carried out and is still good, or was not long ago.
    Terms[] private done;

    modifier onTime() {
        vm.warp(time);
        _;
    }

    constructor() {
        begin(1);
        openFor(0x44);
        keys = [uint256(0), PAYER_KEY, PAYEE_KEY, PROXY_KEY, 0x44];
        token = new SilentToken();
        token.mint(address(this), type(uint96).max);
        token.approve(address(exchange), type(uint256).max);
        exchange.addAsset(TOKEN, address(token));
    }

    function subject() external view returns (ProxyTransfer) {
        return exchange;
    }

    function account(uint256 seed) private pure returns (uint32) {
        return uint32(1 + seed % ACCOUNTS);
    }

    function deposit(uint256 seed, uint64 amount) external onTime {
        (uint32 to, uint32 asset) = (account(seed), seed & 256 == 0 ? ETH : TOKEN);
        if (amount == 0) return;
        exchange.deposit{value: asset == ETH ? amount : 0}(to, asset, amount);
        books[asset][to] += amount;
        deposited[asset] += amount;
    }

    /// @dev A batch of new ones, old ones and ones that can't be paid.
    function transfers(uint256 seed, uint64 amount, uint16 percentage) external onTime {
        uint32 proxyAccount = account(seed >> 32);
        bytes memory batch;
        for (uint256 i = 0; i < 4; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            if (random & 1 == 1 && done.length > 0) {
                Terms memory old = done[(random >> 8) % done.length];
                batch = bytes.concat(batch, authorise(keys[uint32(old.from)], old));
                continue;
            }
            Terms memory t = terms();
            (t.from, t.to, t.proxyAccount) = (account(random >> 16), account(random >> 24), proxyAccount);
            t.asset = random & 2 == 0 ? ETH : TOKEN;
            t.amount = uint64(bound(amount >> (i * 4), 0, 2 ** 63 - 1));
            t.percentage = uint16(bound(percentage, 0, 10_001));
            t.expiration = uint32(block.timestamp + 1 + (random >> 40) % 100_000);
            t.memo = abi.encodePacked(random);
            bytes memory transfer = authorise(keys[uint32(t.from)], t);
            batch = bytes.concat(batch, transfer);
            if (note(t)) done.push(t);
        }
        vm.prank(vm.addr(keys[proxyAccount]));
        exchange.proxyTransfers(batch);
        if (done.length > 40) delete done;
    }

    /// @dev What must happen, by the rules.
    function note(Terms memory t) private returns (bool) {
        (uint32 from, uint32 to, uint32 asset) = (uint32(t.from), uint32(t.to), uint32(t.asset));
        if (from == to || t.percentage > 10_000 || t.expiration > block.timestamp + 86_400) return false;
        if (books[asset][from] < t.amount) return false;
        uint256 commission = uint256(t.amount) * t.percentage / 10_000;
        books[asset][from] -= t.amount;
        books[asset][to] += t.amount - commission;
        books[asset][uint32(t.proxyAccount)] += commission;
        return true;
    }

    function planTake(uint256 seed, uint64 amount) external onTime {
        uint32 owner = account(seed);
        vm.prank(vm.addr(keys[owner]));
        exchange.planTake(owner, seed & 256 == 0 ? ETH : TOKEN, amount);
    }

    function take(uint256 seed) external onTime {
        (uint32 owner, uint32 asset) = (account(seed), seed & 256 == 0 ? ETH : TOKEN);
        (uint96 amount, uint40 takeAt) = exchange.plans(asset, owner);
        if (takeAt == 0 || takeAt > block.timestamp) return;
        uint256 expected = amount < books[asset][owner] ? amount : books[asset][owner];
        address to = address(uint160(0xcafe0000 + asset));
        vm.prank(vm.addr(keys[owner]));
        exchange.take(owner, asset, to);
        books[asset][owner] -= expected;
        taken[asset] += expected;
    }

    function changeKey(uint256 seed) external onTime {
        uint32 owner = account(seed);
        uint256 key = nextKey++;
        bytes memory consent = sign(keys[owner], exchange.keyChangeDigest(owner, vm.addr(key)));
        bytes memory publicKey = publicKeyOf(key);
        vm.prank(vm.addr(key));
        exchange.changeKey(owner, publicKey, consent);
        keys[owner] = key;
    }

    function waitFor(uint256 seconds_) external {
        time += bound(seconds_, 1, 1 days);
    }
}

contract ProxyTransferInvariantTest is ProxyTransferFixture {
    Exchange private game;

    function setUp() public {
        game = new Exchange();
        exchange = game.subject();
    }

    /// @dev Forge calls these, and only these.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(game);
    }

    function invariant_moneyIsWhereItBelongs() external view {
        for (uint256 a = 0; a < 2; ++a) {
            uint32 asset = a == 0 ? ETH : TOKEN;
            uint256 sum = 0;
            for (uint32 i = 1; i <= 4; ++i) {
                vm.assertEq(exchange.balanceOf(i, asset), game.books(asset, i), "balance");
                sum += exchange.balanceOf(i, asset);
            }
            vm.assertEq(sum + game.taken(asset), game.deposited(asset), "balances and what was taken are all deposits");
            uint256 held = asset == ETH ? address(exchange).balance : game.token().balanceOf(address(exchange));
            vm.assertEq(held, sum, "held");
        }
    }
}
