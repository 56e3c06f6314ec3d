// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title How money gets into a contract and out of it.
/// @notice Money leaves by push with bounded gas; a push that fails becomes credit, which its owner withdraws. So no
/// receiver and no token can stop what pays others too.
abstract contract Payouts {
    using SafeERC20 for IERC20;

    /// @notice A push to `account` failed; the sum waits for its owner.
    event Credited(address indexed token, address indexed account, uint256 amount);
    /// @notice `account` took its credit out to `to`.
    event Withdrawn(address indexed token, address indexed account, address to, uint256 amount);

    /// @notice The ETH sent along is not the amount to pay in, which for a token is none.
    error WrongValue(uint256 value, uint256 expected);
    /// @notice The token refused the transfer from the payer: too little balance or allowance, or no ERC-20 at all.
    error TokenTransferFailed(address token);
    /// @notice What arrived is not what was sent; tokens that charge for a transfer can't be used.
    error TokenTookFee(address token, uint256 received, uint256 expected);
    /// @notice `account` has no credit in `token`.
    error NothingToWithdraw(address token, address account);
    /// @notice The payment to `to` failed; name another receiver.
    error WithdrawFailed(address token, address to);
    /// @notice A token or receiver called back into a function that moves money.
    error Reentered();

    // What a push may take. A caller can't starve it into a credit by sending little gas: a call that got less than
    // this leaves at most 1/63 of it (EIP-150), which doesn't even pay for `Credited` (1,756), so everything reverts.
    // That holds up to 110,000.

    /// @dev For a receiver of ETH: enough for the proxies of common smart accounts and one fresh storage slot.
    uint256 private constant ETH_PUSH_GAS = 30_000;
    /// @dev For a token: about twice what common ones take behind a proxy.
    uint256 private constant TOKEN_PUSH_GAS = 100_000;

    /// @dev What `account` can withdraw of `token` (zero for ETH).
    mapping(address token => mapping(address account => uint256)) internal _credit;

    /// @dev 1 while a function that moves money runs. A whole word: a smaller type has to be read to be written.
    uint256 internal transient _entered;

    /// @dev On every function that moves money: a deposit is measured by balance, which a call in between would blur.
    modifier nonReentrant() {
        if (_entered != 0) revert Reentered();
        _entered = 1;
        _;
        _entered = 0;
    }

    /// @dev Takes a token's deposit.
    function _pullToken(address token, address from, uint256 amount) internal {
        if (token.code.length == 0) revert TokenTransferFailed(token);
        uint256 before = IERC20(token).balanceOf(address(this));
        if (!IERC20(token).trySafeTransferFrom(from, address(this), amount)) revert TokenTransferFailed(token);
        uint256 received;
        unchecked {
            received = IERC20(token).balanceOf(address(this)) - before;
        }
        if (received != amount) revert TokenTookFee(token, received, amount);
    }

    /// @dev Pays out; what can't be delivered becomes credit.
    function _push(address token, address to, uint256 amount) internal {
        if (amount == 0) return;
        if (_send(token, to, amount, token == address(0) ? ETH_PUSH_GAS : TOKEN_PUSH_GAS)) return;
        _credit[token][to] += amount;
        emit Credited(token, to, amount);
    }

    /// @dev Pays out the caller's credit.
    function _payCredit(address token, address to) internal {
        uint256 amount = _credit[token][msg.sender];
        if (amount == 0) revert NothingToWithdraw(token, msg.sender);
        _credit[token][msg.sender] = 0;
        emit Withdrawn(token, msg.sender, to, amount);
        _sendAll(token, to, amount);
    }

    /// @dev Pays what a caller asked for: with all the gas there is, and a failure is the caller's to hear of.
    function _sendAll(address token, address to, uint256 amount) internal {
        if (to == address(0) || !_send(token, to, amount, gasleft())) revert WithdrawFailed(token, to);
    }

    /// @dev Sends ETH or a token; false if that failed. Copies at most one word of what the other side returns.
    function _send(address token, address to, uint256 amount, uint256 gasLimit) private returns (bool sent) {
        if (token == address(0)) {
            assembly ("memory-safe") {
                sent := call(gasLimit, to, amount, 0, 0, 0, 0)
            }
        } else {
            assembly ("memory-safe") {
                // transfer(to, amount), past the free memory pointer.
                let data := mload(0x40)
                mstore(data, shl(224, 0xa9059cbb))
                mstore(add(data, 16), shl(96, to))
                mstore(add(data, 36), amount)
                sent := call(gasLimit, token, 0, data, 68, 0, 32)
                // True, or nothing at all from a contract that is there.
                switch returndatasize()
                case 0 { sent := and(sent, iszero(iszero(extcodesize(token)))) }
                default { sent := and(sent, and(gt(returndatasize(), 31), eq(mload(0), 1))) }
            }
        }
    }
}
