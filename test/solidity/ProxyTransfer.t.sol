// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Payouts} from "../../src/contracts/solidity/Payouts.sol";
import {ProxyTransfer} from "../../src/contracts/solidity/ProxyTransfer.sol";
import {FeeToken, HookToken, Receiver, SilentToken} from "./Hostile.sol";
import {ProxyTransferFixture} from "./ProxyTransferFixture.sol";

contract ProxyTransferTest is ProxyTransferFixture {
    event ProxyTransferred(
        bytes32 indexed digest,
        uint32 indexed from,
        uint32 indexed to,
        uint32 proxyAccount,
        uint32 asset,
        uint64 amount,
        uint64 commission,
        bytes proxyMemo
    );
    event ProxyTransferRefused(bytes32 indexed digest, address indexed caller, bytes4 reason);
    event KeyChanged(uint32 indexed account, address indexed signer, bytes publicKey);
    event TakePlanned(uint32 indexed account, uint32 indexed asset, uint256 amount, uint256 takeAt);
    event Taken(uint32 indexed account, uint32 indexed asset, uint256 amount, address to);

    bytes private constant CID = "QmbTuAu2zM53Rj8rk8J2o7mCzHJr6vf8WdjYyiq5SNaDBF";

    function setUp() public {
        begin(4);
        exchange.deposit{value: 10_000}(PAYER, ETH, 10_000);
    }

    receive() external payable {}

    function carryOut(bytes memory transfer) private {
        vm.prank(proxy);
        exchange.proxyTransfer(transfer);
    }

    function refuse(bytes4 reason, bytes32 digest, bytes memory transfer) private {
        vm.expectRevert(abi.encodeWithSelector(reason, digest));
        carryOut(transfer);
        // The same in a batch, where it stops nobody.
        vm.expectEmit(address(exchange));
        emit ProxyTransferRefused(digest, proxy, reason);
        vm.prank(proxy);
        exchange.proxyTransfers(transfer);
    }

    function refuse(bytes4 reason, Terms memory t) private {
        refuse(reason, digestOf(t), authorise(PAYER_KEY, t));
    }

    // --------------------------------------------------------------------------------------------------- transfers

    /// @dev The figures of gxb-core's own `proxy_transfer_test`.
    function test_proxyTransfer_splitsAsTheChainDoes() public {
        exchange.deposit{value: 10_000}(PROXY, ETH, 10_000);
        Terms memory t = terms();
        vm.expectEmit(address(exchange));
        emit ProxyTransferred(digestOf(t), PAYER, PAYEE, PROXY, ETH, 5000, 500, CID);
        carryOut(authorise(PAYER_KEY, t));
        vm.assertEq(balance(PAYER), 5000, "payer");
        vm.assertEq(balance(PAYEE), 4500, "payee");
        vm.assertEq(balance(PROXY), 10_500, "proxy");
        vm.assertTrue(exchange.carriedOut(digestOf(t)), "known");
    }

    function test_proxyTransfer_takesItsTimes() public {
        Terms memory t = terms();
        t.expiration = uint32(NOW);
        refuse(ProxyTransfer.ExpirationOutOfRange.selector, t);
        t.expiration = uint32(NOW + 86_401);
        refuse(ProxyTransfer.ExpirationOutOfRange.selector, t);
        t.expiration = uint32(NOW + 86_400);
        carryOut(authorise(PAYER_KEY, t));
        t.expiration = uint32(NOW + 1);
        carryOut(authorise(PAYER_KEY, t));
    }

    function test_proxyTransfer_keepsTheRanges() public {
        Terms memory t = terms();
        t.percentage = 10_001;
        refuse(ProxyTransfer.PercentageOutOfRange.selector, t);
        t.percentage = 10_000;
        carryOut(authorise(PAYER_KEY, t));
        vm.assertEq(balance(PROXY), 5000, "all of it");
        t = terms();
        t.to = PAYER;
        refuse(ProxyTransfer.PaidToPayer.selector, t);
        t.to = 0;
        refuse(ProxyTransfer.NoPayee.selector, t);
        t.to = 4;
        refuse(ProxyTransfer.NoPayee.selector, t);
        t = terms();
        t.memo = new bytes(100);
        refuse(ProxyTransfer.MemoTooLong.selector, t);
        t.memo = new bytes(99);
        carryOut(authorise(PAYER_KEY, t));
        vm.assertEq(balance(PAYER), 0, "spent");
    }

    function test_proxyTransfer_keepsTheRangeOfTheProxyMemo() public {
        bytes memory params = encode(terms());
        bytes memory signature = sign(PAYER_KEY, digestOf(terms()));
        bytes4 reason = ProxyTransfer.ProxyMemoOutOfRange.selector;
        refuse(reason, digestOf(terms()), pack(params, signature, ""));
        refuse(reason, digestOf(terms()), pack(params, signature, new bytes(100)));
        vm.expectEmit(address(exchange));
        emit ProxyTransferred(digestOf(terms()), PAYER, PAYEE, PROXY, ETH, 5000, 500, new bytes(99));
        carryOut(pack(params, signature, new bytes(99)));
    }

    function test_proxyTransfer_needsTheMoney() public {
        Terms memory t = terms();
        t.amount = 10_001;
        refuse(ProxyTransfer.PayerShort.selector, t);
        t.amount = 10_000;
        t.asset = TOKEN;
        refuse(ProxyTransfer.PayerShort.selector, t);
        t.amount = 0;
        refuse(ProxyTransfer.PayerShort.selector, t);
        t.asset = ETH;
        carryOut(authorise(PAYER_KEY, t));
        t.amount = 2 ** 63;
        refuse(ProxyTransfer.ParamsMalformed.selector, t);
        t.amount = 2 ** 63 - 1;
        refuse(ProxyTransfer.PayerShort.selector, t);
    }

    function test_proxyTransfer_isTheProxysAlone() public {
        bytes memory transfer = authorise(PAYER_KEY, terms());
        bytes memory refusal = abi.encodeWithSelector(ProxyTransfer.NotTheProxy.selector, digestOf(terms()));
        vm.expectRevert(refusal);
        exchange.proxyTransfer(transfer);
        vm.prank(payee);
        vm.expectRevert(refusal);
        exchange.proxyTransfer(transfer);
        // Nobody's account is not the proxy of anything either.
        Terms memory t = terms();
        t.proxyAccount = 0;
        transfer = authorise(PAYER_KEY, t);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.NotTheProxy.selector, digestOf(t)));
        exchange.proxyTransfer(transfer);
    }

    function test_proxyTransfer_onlyOnce() public {
        Terms memory t = terms();
        t.amount = 100;
        carryOut(authorise(PAYER_KEY, t));
        refuse(ProxyTransfer.CarriedOutAlready.selector, t);
        // Another signature of the same is no other authorisation.
        (uint8 v, bytes32 r, bytes32 s) = vm.signWithNonceUnsafe(PAYER_KEY, digestOf(t), 11);
        for (uint256 nonce = 12; !isCanonical(r) || !isCanonical(s); ++nonce) {
            (v, r, s) = vm.signWithNonceUnsafe(PAYER_KEY, digestOf(t), nonce);
        }
        refuse(
            ProxyTransfer.CarriedOutAlready.selector, digestOf(t), pack(encode(t), abi.encodePacked(v + 4, r, s), CID)
        );
    }

    function test_proxyTransfer_refusesSignaturesThatNoClientMakes() public {
        Terms memory t = terms();
        bytes32 digest = digestOf(t);
        bytes memory good = sign(PAYER_KEY, digest);
        bytes4 reason = ProxyTransfer.NotSignedByPayer.selector;
        // Every first byte but its own, those below four among them.
        for (uint256 head = 0; head < 256; ++head) {
            bytes memory signature = bytes.concat(good);
            if (bytes1(uint8(head)) == good[0]) continue;
            signature[0] = bytes1(uint8(head));
            vm.expectRevert(abi.encodeWithSelector(reason, digest));
            carryOut(pack(encode(t), signature, CID));
        }
        // Not canonical, and right but for that.
        for (uint256 nonce = 1; nonce < 12; ++nonce) {
            (uint8 v, bytes32 r, bytes32 s) = vm.signWithNonceUnsafe(PAYER_KEY, digest, nonce);
            if (!isCanonical(r) || !isCanonical(s)) refuse(reason, digest, pack(encode(t), abi.encodePacked(v + 4, r, s), CID));
            (v, s) = (55 - v, bytes32(CURVE_ORDER - uint256(s)));
            if (!isCanonical(r) || !isCanonical(s)) refuse(reason, digest, pack(encode(t), abi.encodePacked(v + 4, r, s), CID));
        }
        refuse(reason, digest, pack(encode(t), sign(PAYEE_KEY, digest), CID));
        refuse(reason, digest, pack(encode(t), new bytes(65), CID));
        t.from = 9;
        refuse(reason, t);
        carryOut(pack(encode(terms()), good, CID));
    }

    function test_proxyTransfer_refusesWhatIsNotTheBinaryForm() public {
        bytes memory good = encode(terms());
        bytes4 reason = ProxyTransfer.ParamsMalformed.selector;
        bytes[6] memory forms = [
            bytes.concat(good, hex"00"), // a byte more
            bytes.concat(bytes.concat(good), ""), // ends with a one, below
            bytes.concat(hex"8100", slice(good, 1, good.length)), // from in two bytes where one does
            bytes.concat(varint(2 ** 32), slice(good, 1, good.length)),
            bytes.concat(hex"818080808000", slice(good, 1, good.length)), // six bytes
            slice(good, 0, good.length - 1) // no count of signatures
        ];
        forms[1][good.length - 1] = 0x01;
        for (uint256 i = 0; i < forms.length; ++i) {
            bytes32 digest = sha256(forms[i]);
            bytes memory transfer = pack(forms[i], sign(PAYER_KEY, digest), CID);
            refuse(reason, digest, transfer);
        }
        Terms memory t = terms();
        t.from = 2 ** 32 - 1;
        refuse(ProxyTransfer.NotSignedByPayer.selector, t);
        t.asset = 2 ** 32;
        refuse(reason, t);
    }

    function slice(bytes memory data, uint256 start, uint256 end) private pure returns (bytes memory out) {
        out = new bytes(end - start);
        for (uint256 i = start; i < end; ++i) out[i - start] = data[i];
    }

    function test_proxyTransfer_mayPayThoseWhoTakePart() public {
        // The proxy is the payee, then the payer.
        Terms memory t = terms();
        t.to = PROXY;
        carryOut(authorise(PAYER_KEY, t));
        vm.assertEq(balance(PROXY), 5000, "payee and proxy");
        t = terms();
        (t.from, t.to, t.amount) = (PROXY, PAYEE, 1000);
        carryOut(authorise(PROXY_KEY, t));
        vm.assertEq(balance(PROXY), 4100, "payer and proxy");
        vm.assertEq(balance(PAYEE), 900, "payee");
    }

    function testFuzz_proxyTransfer_roundsTheCommissionDown(uint64 amount, uint16 percentage) public {
        Terms memory t = terms();
        (t.amount, t.percentage) = (uint64(bound(amount, 0, 2 ** 63 - 1)), uint16(bound(percentage, 0, 10_000)));
        exchange.deposit{value: 2 ** 63}(PAYER, ETH, 2 ** 63);
        carryOut(authorise(PAYER_KEY, t));
        uint256 commission = uint256(t.amount) * t.percentage / 10_000;
        vm.assertEq(balance(PROXY), commission, "commission");
        vm.assertEq(balance(PAYEE), t.amount - commission, "the rest");
        vm.assertEq(balance(PAYER), 10_000 + 2 ** 63 - t.amount, "payer");
    }

    /// @dev The digest and all fields are those of a plain reference, whatever the numbers.
    function testFuzz_read_isTheBinaryForm(Terms memory t, uint256 memo, uint256 sizes) public view {
        t.from = uint64(bound(t.from, 0, 2 ** (1 + (sizes & 31)) - 1));
        t.to = uint64(bound(t.to, 0, 2 ** (1 + (sizes >> 8 & 31)) - 1));
        t.proxyAccount = uint64(bound(t.proxyAccount, 0, 2 ** (1 + (sizes >> 16 & 31)) - 1));
        t.asset = uint64(bound(t.asset, 0, 2 ** (1 + (sizes >> 24 & 31)) - 1));
        t.amount = uint64(bound(t.amount, 0, 2 ** 63 - 1));
        t.memo = new bytes(memo % 100);
        for (uint256 i = 0; i < t.memo.length; ++i) t.memo[i] = bytes1(uint8(uint256(keccak256(abi.encode(memo, i)))));
        ProxyTransfer.Params memory p = exchange.read(encode(t));
        vm.assertEq(p.digest, digestOf(t), "digest");
        vm.assertEq(p.from, t.from, "from");
        vm.assertEq(p.to, t.to, "to");
        vm.assertEq(p.proxyAccount, t.proxyAccount, "proxyAccount");
        vm.assertEq(p.amount, t.amount, "amount");
        vm.assertEq(p.asset, t.asset, "asset");
        vm.assertEq(p.percentage, t.percentage, "percentage");
        vm.assertEq(p.expiration, t.expiration, "expiration");
    }

    /// @dev What is accepted can be written in one way only: the fields lead back to the very bytes.
    function testFuzz_read_acceptsOneFormOnly(Terms memory t, uint256 where, uint8 flip) public view {
        (t.from, t.to, t.proxyAccount, t.asset) = (t.from % 2 ** 32, t.to % 2 ** 20, t.proxyAccount % 128, t.asset % 2 ** 14);
        (t.amount, t.memo) = (t.amount % 2 ** 63, "memo");
        bytes memory form = encode(t);
        form[where % form.length] ^= bytes1(flip);
        try exchange.read(form) returns (ProxyTransfer.Params memory p) {
            (t.from, t.to, t.proxyAccount, t.amount) = (uint64(p.from), uint64(p.to), uint64(p.proxyAccount), uint64(p.amount));
            (t.asset, t.percentage, t.expiration, t.memo) = (uint64(p.asset), uint16(p.percentage), uint32(p.expiration), "");
            t.memo = slice(form, encode(t).length - 5, form.length - 5);
            vm.assertEq(keccak256(encode(t)), keccak256(form), "one form");
        } catch {}
    }

    /// @dev Each byte counts: what is signed is all there is.
    function testFuzz_proxyTransfer_refusesAnyOtherByte(uint256 where, uint8 flip) public {
        bytes memory transfer = authorise(PAYER_KEY, terms());
        uint256 size = uint8(transfer[0]);
        if (flip == 0) return;
        // The proxy memo is the proxy's own.
        transfer[1 + where % (size + 65)] ^= bytes1(flip);
        vm.prank(proxy);
        try exchange.proxyTransfer(transfer) {
            revert("accepted");
        } catch (bytes memory reason) {
            vm.assertEq(reason.length, 36, "one of ours");
        }
        vm.assertEq(balance(PAYER), 10_000, "nothing moved");
    }

    // ----------------------------------------------------------------------------------------------------- batches

    function test_proxyTransfers_oneRefusalStopsNobody() public {
        bytes memory batch;
        Terms memory t = terms();
        t.amount = 10;
        for (uint256 i = 0; i < 50; ++i) {
            t.expiration = uint32(NOW + 100 + i);
            bytes memory transfer = authorise(PAYER_KEY, t);
            if (i == 17) transfer[transfer.length - 60] ^= 0xff; // in the signature
            batch = bytes.concat(batch, transfer);
        }
        t.expiration = uint32(NOW + 117);
        vm.expectEmit(address(exchange));
        emit ProxyTransferRefused(digestOf(t), proxy, ProxyTransfer.NotSignedByPayer.selector);
        vm.prank(proxy);
        exchange.proxyTransfers(batch);
        vm.assertEq(balance(PAYER), 10_000 - 490, "49 of 50");
        vm.assertEq(balance(PAYEE), 441, "payee");
        vm.assertFalse(exchange.carriedOut(digestOf(t)), "the bad one can come again");
        carryOut(authorise(PAYER_KEY, t));
    }

    function test_proxyTransfers_spendsWhatTheBatchBrings() public {
        Terms memory t = terms();
        (t.to, t.percentage) = (PROXY, 0);
        bytes memory batch = authorise(PAYER_KEY, t);
        (t.from, t.to) = (PROXY, PAYEE);
        batch = bytes.concat(batch, authorise(PROXY_KEY, t));
        vm.prank(proxy);
        exchange.proxyTransfers(batch);
        vm.assertEq(balance(PAYEE), 5000, "passed on");
    }

    function testFuzz_proxyTransfers_cutAnywhereMovesNothing(uint256 cut) public {
        bytes memory transfer = authorise(PAYER_KEY, terms());
        bytes memory part = slice(transfer, 0, bound(cut, 1, transfer.length - 1));
        vm.prank(proxy);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.TransfersMalformed.selector));
        exchange.proxyTransfers(part);
        vm.prank(proxy);
        vm.expectPartialRevert(ProxyTransfer.TransfersMalformed.selector);
        exchange.proxyTransfer(bytes.concat(transfer, part));
        vm.assertEq(balance(PAYER), 10_000, "nothing moved");
    }

    function test_proxyTransfers_ofNothing() public {
        vm.prank(proxy);
        exchange.proxyTransfers("");
        vm.prank(proxy);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.TransfersMalformed.selector));
        exchange.proxyTransfer("");
    }

    // ------------------------------------------------------------------------------------------------------ places

    /// @dev More authorisations than places, at all times: none is carried out twice while it is good.
    function test_places_forgetOnlyWhatIsOver() public {
        Terms memory t = terms();
        t.amount = 1;
        Terms[] memory all = new Terms[](100);
        for (uint256 i = 0; i < all.length; ++i) {
            t.expiration = uint32(block.timestamp + 1 + (i * 37) % 200);
            t.memo = abi.encodePacked(i);
            all[i] = abi.decode(abi.encode(t), (Terms));
            carryOut(authorise(PAYER_KEY, t));
            if (i % 4 == 0) vm.warp(block.timestamp + 13);
            for (uint256 j = 0; j <= i; ++j) {
                if (all[j].expiration <= block.timestamp) continue;
                vm.assertTrue(exchange.carriedOut(digestOf(all[j])), "known");
            }
        }
        for (uint256 j = 0; j < all.length; ++j) {
            if (all[j].expiration <= block.timestamp) continue;
            refuse(ProxyTransfer.CarriedOutAlready.selector, all[j]);
        }
        vm.assertEq(balance(PAYER), 10_000 - 100, "each once");
    }

    // ---------------------------------------------------------------------------------------------------- accounts

    function test_open_givesNumbersInOrder() public {
        vm.assertEq(openFor(77), 4, "the next");
        vm.assertEq(exchange.signerOf(4), vm.addr(77), "signer");
        vm.assertEq(exchange.accountOf(vm.addr(77)), 4, "account");
        bytes memory publicKey = publicKeyOf(77);
        vm.prank(vm.addr(77));
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.KeyTaken.selector, 4));
        exchange.open(publicKey);
    }

    function test_open_isForTheCallersKey() public {
        bytes memory publicKey = publicKeyOf(77);
        vm.expectRevert(
            abi.encodeWithSelector(ProxyTransfer.PublicKeyNotCallers.selector, vm.addr(77), address(this))
        );
        exchange.open(publicKey);
        publicKey[0] = 0x06;
        vm.prank(vm.addr(77));
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.PublicKeyNotCallers.selector, address(0), vm.addr(77)));
        exchange.open(publicKey);
    }

    function test_changeKey_givesWayAtOnceAndForGood() public {
        bytes memory transfer = authorise(PAYER_KEY, terms());
        bytes memory publicKey = publicKeyOf(77);
        bytes memory consent = sign(PAYER_KEY, exchange.keyChangeDigest(PAYER, vm.addr(77)));
        vm.expectEmit(address(exchange));
        emit KeyChanged(PAYER, vm.addr(77), publicKey);
        vm.prank(vm.addr(77));
        exchange.changeKey(PAYER, publicKey, consent);
        refuse(ProxyTransfer.NotSignedByPayer.selector, digestOf(terms()), transfer);
        carryOut(authorise(77, terms()));
        // Its own proxy work ends too.
        consent = sign(PROXY_KEY, exchange.keyChangeDigest(PROXY, vm.addr(78)));
        publicKey = publicKeyOf(78);
        vm.prank(vm.addr(78));
        exchange.changeKey(PROXY, publicKey, consent);
        Terms memory t = terms();
        t.memo = "";
        transfer = authorise(77, t);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.NotTheProxy.selector, digestOf(t)));
        carryOut(transfer);
        vm.prank(vm.addr(78));
        exchange.proxyTransfer(transfer);
        // A key that went away doesn't come back.
        publicKey = publicKeyOf(PAYER_KEY);
        consent = sign(77, exchange.keyChangeDigest(PAYER, payer));
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.KeyTaken.selector, PAYER));
        exchange.changeKey(PAYER, publicKey, consent);
    }

    function test_changeKey_needsTheOldKey() public {
        bytes memory publicKey = publicKeyOf(77);
        bytes memory refusal = abi.encodeWithSelector(ProxyTransfer.NotTheAccounts.selector, PAYER, vm.addr(77));
        bytes[4] memory consents = [
            sign(PAYEE_KEY, exchange.keyChangeDigest(PAYER, vm.addr(77))),
            sign(PAYER_KEY, exchange.keyChangeDigest(PAYER, vm.addr(78))),
            sign(PAYER_KEY, exchange.keyChangeDigest(PAYEE, vm.addr(77))),
            bytes("")
        ];
        for (uint256 i = 0; i < consents.length; ++i) {
            vm.prank(vm.addr(77));
            vm.expectRevert(refusal);
            exchange.changeKey(PAYER, publicKey, consents[i]);
        }
        vm.prank(vm.addr(77));
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.NoAccount.selector, 9));
        exchange.changeKey(9, publicKey, consents[0]);
    }

    // ------------------------------------------------------------------------------------------------------- money

    function test_addAsset_isTheOperatorsAndOnce() public {
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.AssetRefused.selector, ETH));
        exchange.addAsset(ETH, address(1));
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.AssetRefused.selector, TOKEN));
        exchange.addAsset(TOKEN, address(1));
        for (uint32 i = 100; i < 163; ++i) exchange.addAsset(i, address(1));
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.AssetRefused.selector, TOKEN));
        exchange.addAsset(TOKEN, address(1));
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.NoAsset.selector, TOKEN));
        exchange.tokenOf(TOKEN);
    }

    function test_deposit_wantsTheExactValue() public {
        vm.expectRevert(abi.encodeWithSelector(Payouts.WrongValue.selector, 4, 5));
        exchange.deposit{value: 4}(PAYER, ETH, 5);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.NoAccount.selector, 4));
        exchange.deposit{value: 5}(4, ETH, 5);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.NoAsset.selector, TOKEN));
        exchange.deposit(PAYER, TOKEN, 5);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.PaymentOutOfRange.selector, ETH, 0));
        exchange.deposit(PAYER, ETH, 0);
    }

    function test_deposit_staysBelowTheLimitInAll() public {
        SilentToken token = new SilentToken();
        exchange.addAsset(TOKEN, address(token));
        token.mint(address(this), type(uint128).max);
        token.approve(address(exchange), type(uint256).max);
        exchange.deposit(PAYER, TOKEN, type(uint96).max - 1);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.PaymentOutOfRange.selector, TOKEN, 2));
        exchange.deposit(PAYEE, TOKEN, 2);
        exchange.deposit(PAYEE, TOKEN, 1);
        vm.expectRevert(abi.encodeWithSelector(Payouts.WrongValue.selector, 1, 0));
        exchange.deposit{value: 1}(PAYEE, TOKEN, 1);
    }

    function test_deposit_refusesTokensThatTakeAFee() public {
        FeeToken token = new FeeToken();
        exchange.addAsset(TOKEN, address(token));
        token.mint(address(this), 1000);
        token.approve(address(exchange), 1000);
        vm.expectRevert(abi.encodeWithSelector(Payouts.TokenTookFee.selector, address(token), 990, 1000));
        exchange.deposit(PAYER, TOKEN, 1000);
    }

    function test_take_isAnnouncedLongBefore() public {
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.TakeNotPlanned.selector, PAYER, ETH));
        exchange.take(PAYER, ETH, payer);
        vm.expectEmit(address(exchange));
        emit TakePlanned(PAYER, ETH, 9000, NOW + 2 days);
        vm.prank(payer);
        exchange.planTake(PAYER, ETH, 9000);
        // What is announced can still be spent.
        carryOut(authorise(PAYER_KEY, terms()));
        vm.warp(NOW + 2 days - 1);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.TakeTooEarly.selector, NOW + 2 days));
        exchange.take(PAYER, ETH, payer);
        vm.warp(NOW + 2 days);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.NotTheAccounts.selector, PAYER, address(this)));
        exchange.take(PAYER, ETH, address(this));
        vm.expectEmit(address(exchange));
        emit Taken(PAYER, ETH, 5000, address(0xcafe));
        vm.prank(payer);
        exchange.take(PAYER, ETH, address(0xcafe));
        vm.assertEq(address(0xcafe).balance, 5000, "what was left");
        vm.assertEq(balance(PAYER), 0, "none left");
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.TakeNotPlanned.selector, PAYER, ETH));
        exchange.take(PAYER, ETH, payer);
    }

    function test_planTake_isTheAccountsAndCanBeCalledOff() public {
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.NotTheAccounts.selector, PAYER, address(this)));
        exchange.planTake(PAYER, ETH, 1);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.NoAsset.selector, TOKEN));
        exchange.planTake(PAYER, TOKEN, 1);
        vm.prank(payer);
        exchange.planTake(PAYER, ETH, 1);
        vm.prank(payer);
        exchange.planTake(PAYER, ETH, 0);
        vm.warp(NOW + 3 days);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(ProxyTransfer.TakeNotPlanned.selector, PAYER, ETH));
        exchange.take(PAYER, ETH, payer);
    }

    function test_take_failsAloud() public {
        Receiver wall = new Receiver(Receiver.Mode.Revert);
        vm.prank(payer);
        exchange.planTake(PAYER, ETH, 1);
        vm.warp(NOW + 3 days);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(Payouts.WithdrawFailed.selector, address(0), address(wall)));
        exchange.take(PAYER, ETH, address(wall));
        vm.assertEq(balance(PAYER), 10_000, "still there");
    }

    /// @dev A receiver that calls back finds the money gone already, and the door shut.
    function test_take_cantBeEnteredAgain() public {
        Receiver receiver = new Receiver(Receiver.Mode.Call);
        receiver.arm(address(exchange), abi.encodeCall(exchange.deposit, (PAYER, ETH, 0)));
        vm.prank(payer);
        exchange.planTake(PAYER, ETH, 1);
        vm.warp(NOW + 3 days);
        vm.prank(payer);
        exchange.take(PAYER, ETH, address(receiver));
        vm.assertFalse(receiver.callSucceeded(), "shut");
        vm.assertEq(balance(PAYER), 9999, "once");
    }

    /// @dev A token that calls back while it is paid in can't take what isn't there yet.
    function test_deposit_cantBeEnteredAgain() public {
        HookToken token = new HookToken();
        exchange.addAsset(TOKEN, address(token));
        token.mint(address(this), 100);
        token.approve(address(exchange), 100);
        token.arm(address(exchange), abi.encodeCall(exchange.deposit, (PAYER, TOKEN, 100)));
        exchange.deposit(PAYER, TOKEN, 100);
        vm.assertFalse(token.hookSucceeded(), "shut");
        vm.assertEq(bytes4(token.hookAnswer()), Payouts.Reentered.selector, "why");
        vm.assertEq(exchange.balanceOf(PAYER, TOKEN), 100, "once");
    }
}
