// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @dev Tokens and receivers that real ones have shown to exist, or that an attacker would write.

/// @dev What the hostile tokens have in common: anyone can mint.
abstract contract Mintable is ERC20 {
    constructor() ERC20("Hostile", "HOST") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @dev Like USDT on Ethereum: moves money and returns nothing.
contract SilentToken is Mintable {
    function transfer(address to, uint256 amount) public override returns (bool) {
        super.transfer(to, amount);
        assembly {
            return(0, 0)
        }
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        super.transferFrom(from, to, amount);
        assembly {
            return(0, 0)
        }
    }
}

/// @dev Says no by returning false, for those who only look for reverts.
contract FalseToken is Mintable {
    bool public refusing;

    function refuse(bool yes) external {
        refusing = yes;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return !refusing && super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return !refusing && super.transferFrom(from, to, amount);
    }
}

/// @dev Keeps 1 % of every transfer.
contract FeeToken is Mintable {
    function _update(address from, address to, uint256 amount) internal override {
        if (from != address(0) && to != address(0)) {
            super._update(from, address(this), amount / 100);
            amount -= amount / 100;
        }
        super._update(from, to, amount);
    }
}

/// @dev Like USDC: the issuer can block an account.
contract BlockingToken is Mintable {
    mapping(address account => bool) public blocked;

    function setBlocked(address account, bool yes) external {
        blocked[account] = yes;
    }

    function _update(address from, address to, uint256 amount) internal override {
        require(!blocked[from] && !blocked[to], "blocked");
        super._update(from, to, amount);
    }
}

/// @dev Like ERC-777: calls a hook in the middle of a transfer. The hook's call is armed from outside.
contract HookToken is Mintable {
    address public target;
    bytes public data;
    bool public hookSucceeded;
    bytes public hookAnswer;

    function arm(address target_, bytes calldata data_) external {
        target = target_;
        data = data_;
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (target != address(0)) {
            address armed = target;
            target = address(0);
            (hookSucceeded, hookAnswer) = armed.call(data);
        }
        super._update(from, to, amount);
    }
}

/// @dev Burns all gas it is given once told to.
contract BurningToken is Mintable {
    bool public burning;

    function burn(bool yes) external {
        burning = yes;
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (burning) {
            while (true) {}
        }
        super._update(from, to, amount);
    }
}

/// @dev Keeps books on every transfer: two fresh slots more than others.
contract HeavyToken is Mintable {
    uint256[] public book;

    function _update(address from, address to, uint256 amount) internal override {
        book.push(uint160(from));
        book.push(uint160(to));
        super._update(from, to, amount);
    }
}

/// @dev An account that is a contract: it can do anything its owner could, and takes ETH as its mode has it.
contract Receiver {
    enum Mode {
        Accept,
        Revert,
        Burn,
        Bomb,
        Call,
        Store
    }

    Mode public mode;
    address public target;
    bytes public data;
    bool public callSucceeded;
    mapping(uint256 place => uint256) public ledger;

    constructor(Mode mode_) {
        mode = mode_;
    }

    function setMode(Mode mode_) external {
        mode = mode_;
    }

    /// @dev What `receive` calls in mode Call.
    function arm(address target_, bytes calldata data_) external {
        target = target_;
        data = data_;
    }

    /// @dev Calls as this account.
    function execute(address to, bytes calldata call_) external payable returns (bytes memory) {
        (bool success, bytes memory answer) = to.call{value: msg.value}(call_);
        if (!success) {
            assembly {
                revert(add(answer, 32), mload(answer))
            }
        }
        return answer;
    }

    receive() external payable {
        if (mode == Mode.Revert) revert("no, thanks");
        if (mode == Mode.Burn) {
            while (true) {}
        }
        if (mode == Mode.Bomb) {
            // All the memory that the gas allows, for the caller to copy at its own cost.
            assembly {
                revert(0, 28000)
            }
        }
        if (mode == Mode.Store) {
            // Honest and at the limit: a fresh slot and a long event, 28,000 gas.
            ledger[msg.value] = 1;
            assembly {
                log0(0, 512)
            }
        }
        if (mode == Mode.Call) (callSucceeded,) = target.call(data);
    }
}
