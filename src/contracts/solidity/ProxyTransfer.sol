// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Payouts} from "./Payouts.sol";

/// @title Transfers that a payer has authorised and a proxy carries out.
/// @notice Accounts are numbers (`1.2.N` in GXChain's notation) with a secp256k1 key; assets are numbers too (`1.3.N`). An
/// authorisation is what clients of GXChain have always signed: SHA-256 of the binary form of request_params, without its
/// signatures. It is good once. It names neither chain nor contract, so a proxy whose account has the same number in two
/// deployments must not serve the same payers in both.
///
/// A transfer is handed in packed, as one byte string without padding:
///
///     size of the params 1 | params | signature 65 | size of the proxy memo 1 | proxy memo
///
///     params       the binary form that was signed: from varint, to varint, proxy_account varint, amount int64, asset varint,
///                  percentage uint16, memo varint size and bytes, expiration uint32, 00; numbers little endian
///     signature    recovery id + 31, r, s
///     proxy memo   1 to 99 bytes
contract ProxyTransfer is Payouts {
    /// @notice What a payer has signed. Accounts and the asset are the last numbers of their names.
    struct Params {
        uint256 from;
        uint256 to;
        uint256 proxyAccount;
        uint256 amount;
        uint256 asset;
        /// @dev What the proxy keeps of the amount; 10000 is all of it.
        uint256 percentage;
        /// @dev Unix seconds: from then on it can't be carried out.
        uint256 expiration;
        /// @dev What was signed.
        bytes32 digest;
    }

    /// @notice What an account has announced to take out.
    struct Plan {
        uint96 amount;
        /// @dev Unix seconds from which it can be taken; 0 for nothing announced.
        uint40 takeAt;
    }

    struct Asset {
        /// @dev This contract for ETH; zero for no asset.
        address token;
        /// @dev Of all accounts.
        uint96 total;
    }

    /// @notice An account has been opened for a key.
    event AccountOpened(uint32 indexed account, address indexed signer, bytes publicKey);
    /// @notice An account has got another key.
    event KeyChanged(uint32 indexed account, address indexed signer, bytes publicKey);
    /// @notice An asset has got its token; zero is ETH.
    event AssetAdded(uint32 indexed asset, address indexed token);
    /// @notice Money has come in for an account.
    event Deposited(uint32 indexed account, uint32 indexed asset, uint256 amount);
    /// @notice An account will be able to take `amount` out from `takeAt` on; an amount of 0 calls it off.
    event TakePlanned(uint32 indexed account, uint32 indexed asset, uint256 amount, uint256 takeAt);
    /// @notice Money of an account has gone out.
    event Taken(uint32 indexed account, uint32 indexed asset, uint256 amount, address to);
    /// @notice An authorisation has been carried out; `digest` is what was signed.
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
    /// @notice An authorisation of a batch could not be carried out; `reason` is the selector of the error. Anybody can try,
    /// so look at who did.
    event ProxyTransferRefused(bytes32 indexed digest, address indexed caller, bytes4 reason);

    /// @notice The key is not 65 bytes that begin with 4, or not that of the caller's address.
    error PublicKeyNotCallers(address derived, address caller);
    /// @notice The key has, or once had, an account.
    error KeyTaken(uint32 account);
    /// @notice There is no such account.
    error NoAccount(uint32 account);
    /// @notice Only the key of this account may, or must have signed.
    error NotTheAccounts(uint32 account, address caller);
    /// @notice There is no such asset.
    error NoAsset(uint32 asset);
    /// @notice The asset has its token already, there are too many, or the caller may not add any.
    error AssetRefused(uint32 asset);
    /// @notice What is paid in of an asset must be more than nothing and stay below 2^96.
    error PaymentOutOfRange(uint32 asset, uint256 amount);
    /// @notice Nothing was announced to be taken.
    error TakeNotPlanned(uint32 account, uint32 asset);
    /// @notice What was announced can be taken from `opensAt` on.
    error TakeTooEarly(uint256 opensAt);
    /// @notice The bytes handed in are not whole transfers.
    error TransfersMalformed();

    // Why a transfer is refused; alone it reverts so, in a batch only the others go on.

    /// @notice The params are not the binary form, an account or asset is beyond 32 bits, or an amount beyond 63.
    error ParamsMalformed(bytes32 digest);
    /// @notice The memo has 100 bytes or more.
    error MemoTooLong(bytes32 digest);
    /// @notice The proxy memo is empty, or has 100 bytes or more.
    error ProxyMemoOutOfRange(bytes32 digest);
    /// @notice The percentage is beyond 10000.
    error PercentageOutOfRange(bytes32 digest);
    /// @notice Payer and payee are the same.
    error PaidToPayer(bytes32 digest);
    /// @notice The authorisation is over, or good for longer than a day.
    error ExpirationOutOfRange(bytes32 digest);
    /// @notice The caller's key is not that of the proxy account.
    error NotTheProxy(bytes32 digest);
    /// @notice There is no such payee.
    error NoPayee(bytes32 digest);
    /// @notice There is no such payer, or the signature is not canonical or not by its key.
    error NotSignedByPayer(bytes32 digest);
    /// @notice The authorisation has been carried out before.
    error CarriedOutAlready(bytes32 digest);
    /// @notice The payer has less than the amount.
    error PayerShort(bytes32 digest);

    /// @notice The longest that an authorisation may be good for, in seconds.
    uint256 public constant LONGEST = 86_400;
    /// @notice Seconds between announcing to take money out and taking it. What was authorised before the announcement
    /// became known is over by then, with a day to spare: nobody can run away from what a proxy counts on.
    uint256 public constant TAKE_DELAY = 2 * LONGEST;
    uint256 private constant ALL = 10_000;
    uint256 private constant MOST_ASSETS = 64;

    /// @notice Who may add assets.
    address public immutable operator;
    /// @dev There are this many places plus one, a power of two.
    uint256 private immutable _placeMask;

    /// @notice The number of the last account; the first one's is 1.
    uint32 public lastAccount;
    /// @notice The address of an account's key.
    mapping(uint256 account => address) public signerOf;
    /// @notice The account that a key's address has or had; 0 for none. A key that was changed away never comes back, so no
    /// old signature can bring it back.
    mapping(address signer => uint32) public accountOf;
    /// @notice What an account has announced to take out.
    mapping(uint256 asset => mapping(uint256 account => Plan)) public plans;

    uint32[] private _assetIds;
    mapping(uint256 asset => Asset) private _assets;
    /// @dev What an account has of an asset, by asset << 32 | account: address of its key u160 | balance u96. The address is
    /// there once the account has paid or was paid in for, so a transfer needn't look it up elsewhere. By hand: in Solidity
    /// each half is read and written apart.
    mapping(uint256 key => uint256) private _holdings;

    // Which authorisations have been carried out. Each digest has a place, by its last bits, that it takes until it expires:
    // then nobody can use it any more, and the place serves another. Writing to a place that was used before costs a quarter
    // of a new slot. A digest that finds its place taken gets a slot of its own, for good.

    /// @dev Top 192 bits of the digest | until when any digest of this place in `_elsewhere` is good u32 | expiration u32.
    mapping(uint256 place => uint256) private _places;
    mapping(bytes32 digest => bool) private _elsewhere;

    /// @param operator_ Who may add assets.
    /// @param placeBits Log2 of the number of places: about four times as many as authorisations that are good at a time.
    constructor(address operator_, uint8 placeBits) {
        operator = operator_;
        _placeMask = (1 << placeBits) - 1;
    }

    // ---------------------------------------------------------------------------------------------------- accounts

    /// @notice Opens an account for the caller's key.
    /// @param publicKey 65 bytes, uncompressed.
    function open(bytes calldata publicKey) external returns (uint32 account) {
        account = ++lastAccount;
        _setKey(account, publicKey);
        emit AccountOpened(account, msg.sender, publicKey);
    }

    /// @notice Gives an account the caller's key, at once: what the old one has authorised can't be carried out any more.
    /// @param publicKey 65 bytes, uncompressed.
    /// @param signature Of the old key, in the form of a transfer's, over `keyChangeDigest`.
    function changeKey(uint32 account, bytes calldata publicKey, bytes calldata signature) external {
        address before = signerOf[account];
        if (before == address(0)) revert NoAccount(account);
        uint256 place;
        assembly ("memory-safe") {
            place := signature.offset
        }
        if (signature.length != 65 || _recover(keyChangeDigest(account, msg.sender), place) != before) {
            revert NotTheAccounts(account, msg.sender);
        }
        _setKey(account, publicKey);
        for (uint256 i = 0; i < _assetIds.length; ++i) {
            uint256 key = _key(_assetIds[i], account);
            uint256 holding = _holdings[key];
            if (holding >> 96 != 0) _holdings[key] = _holding(msg.sender, uint96(holding));
        }
        emit KeyChanged(account, msg.sender, publicKey);
    }

    /// @notice What an account's key signs to give way to another. Longer than any params, so it can't pass for a transfer.
    function keyChangeDigest(uint32 account, address signer) public view returns (bytes32) {
        return sha256(abi.encode("Sluice ProxyTransfer: change key", block.chainid, address(this), account, signer));
    }

    function _setKey(uint32 account, bytes calldata publicKey) private {
        bool formed = publicKey.length == 65 && publicKey[0] == 0x04;
        address derived = formed ? address(uint160(uint256(keccak256(publicKey[1:])))) : address(0);
        if (derived != msg.sender) revert PublicKeyNotCallers(derived, msg.sender);
        if (accountOf[msg.sender] != 0) revert KeyTaken(accountOf[msg.sender]);
        signerOf[account] = msg.sender;
        accountOf[msg.sender] = account;
    }

    // ------------------------------------------------------------------------------------------------------- money

    /// @notice Gives an asset its token; zero for ETH.
    function addAsset(uint32 asset, address token) external {
        if (msg.sender != operator || _assets[asset].token != address(0) || _assetIds.length == MOST_ASSETS) {
            revert AssetRefused(asset);
        }
        _assets[asset].token = token == address(0) ? address(this) : token;
        _assetIds.push(asset);
        emit AssetAdded(asset, token);
    }

    /// @notice Pays in for an account; anyone may. ETH is sent along, a token needs an allowance.
    function deposit(uint32 account, uint32 asset, uint256 amount) external payable nonReentrant {
        address signer = signerOf[account];
        if (signer == address(0)) revert NoAccount(account);
        address token = tokenOf(asset);
        uint256 value = token == address(0) ? amount : 0;
        if (msg.value != value) revert WrongValue(msg.value, value);
        if (amount == 0 || amount > type(uint96).max - _assets[asset].total) revert PaymentOutOfRange(asset, amount);
        _assets[asset].total += uint96(amount);
        uint256 key = _key(asset, account);
        _holdings[key] = _holding(signer, uint96(_holdings[key]) + uint96(amount));
        emit Deposited(account, asset, amount);
        if (token != address(0)) _pullToken(token, msg.sender, amount);
    }

    /// @notice Announces that the caller's account wants `amount` back, in place of what it announced before; 0 to call it
    /// off. Until it is taken it can still be spent.
    function planTake(uint32 account, uint32 asset, uint96 amount) external {
        if (signerOf[account] != msg.sender) revert NotTheAccounts(account, msg.sender);
        tokenOf(asset);
        uint40 takeAt = amount == 0 ? 0 : uint40(block.timestamp + TAKE_DELAY);
        plans[asset][account] = Plan(amount, takeAt);
        emit TakePlanned(account, asset, amount, takeAt);
    }

    /// @notice Takes out what the caller's account announced, or what is left of it.
    function take(uint32 account, uint32 asset, address to) external nonReentrant {
        if (signerOf[account] != msg.sender) revert NotTheAccounts(account, msg.sender);
        Plan memory plan = plans[asset][account];
        if (plan.takeAt == 0) revert TakeNotPlanned(account, asset);
        if (block.timestamp < plan.takeAt) revert TakeTooEarly(plan.takeAt);
        uint256 key = _key(asset, account);
        uint96 balance = uint96(_holdings[key]);
        uint96 amount = plan.amount < balance ? plan.amount : balance;
        delete plans[asset][account];
        _holdings[key] -= amount;
        _assets[asset].total -= amount;
        emit Taken(account, asset, amount, to);
        _sendAll(tokenOf(asset), to, amount);
    }

    /// @notice What an account has of an asset.
    function balanceOf(uint32 account, uint32 asset) external view returns (uint256) {
        return uint96(_holdings[_key(asset, account)]);
    }

    /// @notice The token of an asset; zero for ETH.
    function tokenOf(uint32 asset) public view returns (address token) {
        token = _assets[asset].token;
        if (token == address(0)) revert NoAsset(asset);
        if (token == address(this)) token = address(0);
    }

    function _key(uint256 asset, uint256 account) private pure returns (uint256) {
        return asset << 32 | account;
    }

    function _holding(address signer, uint256 balance) private pure returns (uint256) {
        return uint256(uint160(signer)) << 96 | balance;
    }

    // --------------------------------------------------------------------------------------------------- transfers

    /// @notice Carries one authorisation out; only the key of its proxy account may.
    function proxyTransfer(bytes calldata transfer) external {
        (uint256 cursor, uint256 end) = _bounds(transfer);
        Params memory params;
        bytes4 reason;
        (cursor, reason) = _carryOut(params, cursor, _callersAccount(), lastAccount);
        if (cursor != end) revert TransfersMalformed();
        if (reason == 0) return;
        bytes32 digest = params.digest;
        assembly ("memory-safe") {
            mstore(0, reason)
            mstore(4, digest)
            revert(0, 36)
        }
    }

    /// @notice Carries out what can be carried out, and says of the rest why not.
    /// @param transfers One after another, without anything between them.
    function proxyTransfers(bytes calldata transfers) external {
        (uint256 cursor, uint256 end) = _bounds(transfers);
        uint256 account = _callersAccount();
        uint256 last = lastAccount;
        Params memory params;
        while (cursor < end) {
            bytes4 reason;
            (cursor, reason) = _carryOut(params, cursor, account, last);
            if (reason != 0) emit ProxyTransferRefused(params.digest, msg.sender, reason);
        }
        if (cursor != end) revert TransfersMalformed();
    }

    /// @notice Whether an authorisation has been carried out, as long as it is good; afterwards nobody has to know.
    function carriedOut(bytes32 digest) external view returns (bool) {
        return _places[uint256(digest) & _placeMask] >> 64 == uint256(digest) >> 64 || _elsewhere[digest];
    }

    /// @notice Reads params, and tells what their payer signs.
    function read(bytes calldata params) external view returns (Params memory out) {
        (uint256 cursor, uint256 end) = _bounds(params);
        bytes4 reason = _read(out, cursor, end - cursor);
        if (reason == ParamsMalformed.selector) revert ParamsMalformed(out.digest);
        if (reason == MemoTooLong.selector) revert MemoTooLong(out.digest);
    }

    function _bounds(bytes calldata data) private pure returns (uint256 start, uint256 end) {
        assembly ("memory-safe") {
            start := data.offset
            end := add(start, data.length)
        }
    }

    /// @dev The account of the caller's key; beyond all numbers for none, or one that it had.
    function _callersAccount() private view returns (uint256 account) {
        account = accountOf[msg.sender];
        if (signerOf[account] != msg.sender) account = type(uint256).max;
    }

    /// @dev Nothing is written before all is checked: a refusal leaves no trace.
    /// @return next Where the next transfer begins.
    /// @return reason Selector of the error; 0 if it was carried out.
    function _carryOut(Params memory params, uint256 cursor, uint256 callers, uint256 last)
        private
        returns (uint256 next, bytes4 reason)
    {
        uint256 signature;
        uint256 memoSize;
        assembly ("memory-safe") {
            let size := byte(0, calldataload(cursor))
            cursor := add(cursor, 1)
            signature := add(cursor, size)
            memoSize := byte(0, calldataload(add(signature, 65)))
            next := add(add(signature, 66), memoSize)
        }
        // What lies past the end reads as zeros, which nobody has signed.
        if (next > msg.data.length) revert TransfersMalformed();
        unchecked {
            reason = _read(params, cursor, signature - cursor);
        }
        if (reason == 0) reason = _check(params, memoSize, callers, last);
        if (reason == 0) reason = _move(params, signature);
        if (reason == 0) _tell(params, signature, memoSize);
    }

    /// @dev What can be said without looking at the payer.
    function _check(Params memory params, uint256 memoSize, uint256 callers, uint256 last)
        private
        view
        returns (bytes4)
    {
        if (memoSize == 0 || memoSize > 99) return ProxyMemoOutOfRange.selector;
        if (params.percentage > ALL) return PercentageOutOfRange.selector;
        if (params.from == params.to) return PaidToPayer.selector;
        unchecked {
            // Beyond the longest also for what is over: the difference is below zero then.
            if (params.expiration - block.timestamp - 1 >= LONGEST) return ExpirationOutOfRange.selector;
        }
        if (params.proxyAccount != callers) return NotTheProxy.selector;
        if (params.to == 0 || params.to > last) return NoPayee.selector;
        return 0;
    }

    /// @dev Looks at the payer, then moves the money.
    function _move(Params memory params, uint256 signature) private returns (bytes4) {
        uint256 key = _key(params.asset, params.from);
        uint256 balance = uint96(_holdings[key]);
        address signer = address(uint160(_holdings[key] >> 96));
        if (signer == address(0)) signer = signerOf[params.from];
        if (signer == address(0) || _recover(params.digest, signature) != signer) return NotSignedByPayer.selector;
        uint256 amount = params.amount;
        // Of an asset that doesn't exist nobody has anything, not even nothing.
        if (balance < amount || (balance == 0 && _assets[params.asset].token == address(0))) return PayerShort.selector;
        if (!_use(params.digest, params.expiration)) return CarriedOutAlready.selector;
        unchecked {
            _holdings[key] = _holding(signer, balance - amount);
            // No sum can pass 2^96: all money came through `deposit`.
            uint256 commission = amount * params.percentage / ALL;
            if (amount != commission) _holdings[_key(params.asset, params.to)] += amount - commission;
            if (commission != 0) _holdings[_key(params.asset, params.proxyAccount)] += commission;
        }
        return 0;
    }

    function _tell(Params memory params, uint256 signature, uint256 memoSize) private {
        bytes calldata proxyMemo;
        assembly ("memory-safe") {
            proxyMemo.offset := add(signature, 66)
            proxyMemo.length := memoSize
        }
        unchecked {
            emit ProxyTransferred(
                params.digest,
                uint32(params.from),
                uint32(params.to),
                uint32(params.proxyAccount),
                uint32(params.asset),
                uint64(params.amount),
                uint64(params.amount * params.percentage / ALL),
                proxyMemo
            );
        }
    }

    /// @dev Notes that a digest which is still good is carried out.
    /// @return fresh False if it was noted before.
    function _use(bytes32 digest, uint256 expiration) private returns (bool fresh) {
        uint256 tag = uint256(digest) >> 64;
        uint256 place = uint256(digest) & _placeMask;
        uint256 word = _places[place];
        if (word >> 64 == tag) return false;
        uint256 until = word >> 32 & type(uint32).max;
        if (until > block.timestamp && _elsewhere[digest]) return false;
        if (uint32(word) <= block.timestamp) {
            _places[place] = tag << 64 | until << 32 | expiration;
        } else {
            _elsewhere[digest] = true;
            if (expiration > until) _places[place] = word >> 64 << 64 | expiration << 32 | uint32(word);
        }
        return true;
    }

    /// @dev Reads params from the calldata. What they say is as signed: the digest is that of the very bytes.
    function _read(Params memory params, uint256 start, uint256 size) private view returns (bytes4 reason) {
        bytes32 malformed = ParamsMalformed.selector;
        bytes32 tooLong = MemoTooLong.selector;
        assembly ("memory-safe") {
            // Seven bits a byte, the lowest first, five bytes at most; the last is not zero but in zero itself.
            function varint(cursor) -> value, next {
                let bytes_ := calldataload(cursor)
                next := add(cursor, 1)
                value := byte(0, bytes_)
                if gt(value, 0x7f) {
                    value := and(value, 0x7f)
                    for { let shift := 7 } 1 { shift := add(shift, 7) } {
                        bytes_ := shl(8, bytes_)
                        let part := byte(0, bytes_)
                        next := add(next, 1)
                        value := or(value, shl(shift, and(part, 0x7f)))
                        if lt(part, 0x80) {
                            if iszero(part) { value := not(0) }
                            break
                        }
                        if eq(shift, 28) {
                            value := not(0)
                            break
                        }
                    }
                }
            }
            // The eight first bytes of a word in the other order, as a number.
            function littleEndian(word) -> value {
                value := shr(192, word)
                value := or(shr(8, and(value, 0xff00ff00ff00ff00)), shl(8, and(value, 0x00ff00ff00ff00ff)))
                value := or(shr(16, and(value, 0xffff0000ffff0000)), shl(16, and(value, 0x0000ffff0000ffff)))
                value := or(shr(32, value), shl(32, and(value, 0xffffffff)))
            }
            let free := mload(0x40)
            calldatacopy(free, start, size)
            // A hash that failed for want of gas must not pass for a refusal.
            if iszero(staticcall(gas(), 2, free, size, 0, 32)) { revert(0, 0) }
            mstore(add(params, 0xe0), mload(0))

            let value, cursor := varint(start)
            let all := value
            mstore(params, value)
            value, cursor := varint(cursor)
            all := or(all, value)
            mstore(add(params, 0x20), value)
            value, cursor := varint(cursor)
            all := or(all, value)
            mstore(add(params, 0x40), value)
            let amount := littleEndian(calldataload(cursor))
            mstore(add(params, 0x60), amount)
            value, cursor := varint(add(cursor, 8))
            all := or(all, value)
            mstore(add(params, 0x80), value)
            // The shorter numbers, of what follows them too: cut.
            mstore(add(params, 0xa0), and(littleEndian(calldataload(cursor)), 0xffff))
            let memo := byte(2, calldataload(cursor))
            cursor := add(cursor, add(3, memo))
            mstore(add(params, 0xc0), and(littleEndian(calldataload(cursor)), 0xffffffff))

            // A size of 128 or more has a second byte: too long, and what follows can't be read.
            switch gt(memo, 99)
            case 1 { reason := tooLong }
            default {
                let whole := and(eq(add(cursor, 5), add(start, size)), iszero(byte(4, calldataload(cursor))))
                if or(or(gt(all, 0xffffffff), shr(63, amount)), iszero(whole)) { reason := malformed }
            }
        }
    }

    /// @dev Who signed a digest. Zero for a signature that is not canonical: clients of GXChain make no other.
    /// @param place Where its 65 bytes lie in the calldata.
    function _recover(bytes32 digest, uint256 place) private pure returns (address) {
        uint256 head;
        uint256 r;
        uint256 s;
        assembly ("memory-safe") {
            head := byte(0, calldataload(place))
            r := calldataload(add(place, 1))
            s := calldataload(add(place, 33))
        }
        // 33 and 34 need an r below 2^129, which is not canonical.
        if (head != 31 && head != 32) return address(0);
        if (!_isCanonical(r) || !_isCanonical(s)) return address(0);
        return ecrecover(digest, uint8(head - 4), bytes32(r), bytes32(s));
    }

    /// @dev Below 2^255 and not too short: the first nine bits neither begin with a one nor are all zero.
    function _isCanonical(uint256 part) private pure returns (bool) {
        return part >> 240 >= 0x0080 && part >> 255 == 0;
    }
}
